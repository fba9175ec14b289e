//! A relay and clients over real loopback sockets. Everything awaits an event, with a deadline.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(unreachable_pub, reason = "shared by test crates")]

use std::path::Path;
use std::time::Duration;

use net::RelayId;
use net::driver::{self, Link, LinkCommand, LinkError, LinkEvent, RelayAddr, RequestId};
use net::wire::{Push, PutRequest, Request, Response};
use oplog::SecretKey;
use relay::Limits;
use relay::server::{Ready, ServeError, ServerConfig, serve};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here takes, also on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct Server {
    pub ready: Ready,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    /// Starts on ports of its own, or again on those of an earlier one.
    pub async fn start(dir: &Path, listen: &[String], limits: Limits) -> Self {
        within(async {
            loop {
                match Self::try_start(dir, listen, limits.clone()).await {
                    Ok(server) => return server,
                    // The sockets of one that was killed are freed a moment later.
                    Err(ServeError::Listen { .. }) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await
    }

    async fn try_start(dir: &Path, listen: &[String], limits: Limits) -> Result<Self, ServeError> {
        let config = ServerConfig {
            listen: listen.to_vec(),
            data_dir: dir.to_owned(),
            limits,
        };
        let (stop, stopped) = oneshot::channel();
        let (ready_sender, ready) = oneshot::channel();
        let task = tokio::spawn(serve(
            config,
            async {
                let _ = stopped.await;
            },
            |r| {
                let _ = ready_sender.send(r);
            },
        ));
        match ready.await {
            Ok(ready) => Ok(Self {
                ready,
                stop: Some(stop),
                task,
            }),
            Err(_) => Err(task.await.unwrap().unwrap_err()),
        }
    }

    pub async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        within(self.task).await.unwrap().unwrap();
    }

    /// Drops the server in the middle of whatever it does.
    pub async fn kill(self) {
        self.task.abort();
        assert!(within(self.task).await.unwrap_err().is_cancelled());
    }

    pub fn tcp(&self) -> RelayAddr {
        self.addr("/tcp/")
    }

    pub fn quic(&self) -> RelayAddr {
        self.addr("/quic-v1/")
    }

    fn addr(&self, part: &str) -> RelayAddr {
        let mut addrs = self.ready.addrs.iter();
        addrs
            .find(|a| a.to_string().contains(part))
            .unwrap()
            .clone()
    }

    /// The same address without the key, to listen there again.
    pub fn listen_again(&self) -> Vec<String> {
        let bare = |a: &RelayAddr| a.to_string().split("/p2p/").next().unwrap().to_owned();
        self.ready.addrs.iter().map(bare).collect()
    }
}

pub fn any_port() -> Vec<String> {
    vec![
        "/ip4/127.0.0.1/udp/0/quic-v1".to_owned(),
        "/ip4/127.0.0.1/tcp/0".to_owned(),
    ]
}

pub struct Client {
    link: Link,
    pub relay: RelayId,
    next: u64,
    pushes: Vec<Push>,
    answers: Vec<(RequestId, Result<Response, LinkError>)>,
    connects: usize,
}

impl Client {
    pub async fn connect(addr: RelayAddr) -> Self {
        let relay = addr.id();
        let link = driver::spawn(vec![addr]).unwrap();
        let mut this = Self {
            link,
            relay,
            next: 0,
            pushes: Vec::new(),
            answers: Vec::new(),
            connects: 0,
        };
        this.connected().await;
        this
    }

    /// Waits for the next connection.
    pub async fn connected(&mut self) {
        let seen = self.connects;
        while self.connects == seen {
            self.event().await;
        }
    }

    pub async fn disconnected(&mut self) {
        loop {
            match within(self.link.events.recv()).await.unwrap() {
                LinkEvent::Disconnected { .. } => return,
                other => self.note(other),
            }
        }
    }

    pub async fn command(&self, command: LinkCommand) {
        self.link.commands.send(command).await.unwrap();
    }

    pub async fn send(&mut self, request: Request) -> RequestId {
        self.next += 1;
        let id = RequestId(self.next);
        let relay = self.relay;
        self.command(LinkCommand::Request { relay, id, request })
            .await;
        id
    }

    pub async fn try_ask(&mut self, request: Request) -> Result<Response, LinkError> {
        let id = self.send(request).await;
        self.answer(id).await
    }

    /// Waits for the answer to a request that was sent.
    pub async fn answer(&mut self, id: RequestId) -> Result<Response, LinkError> {
        loop {
            if let Some(at) = self.answers.iter().position(|(i, _)| *i == id) {
                return self.answers.swap_remove(at).1;
            }
            self.event().await;
        }
    }

    pub async fn ask(&mut self, request: Request) -> Response {
        self.try_ask(request).await.unwrap()
    }

    pub async fn push(&mut self) -> Push {
        while self.pushes.is_empty() {
            self.event().await;
        }
        self.pushes.remove(0)
    }

    async fn event(&mut self) {
        let event = within(self.link.events.recv())
            .await
            .expect("the link lives");
        self.note(event);
    }

    fn note(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Connected { .. } => self.connects += 1,
            LinkEvent::Disconnected { .. } => {}
            LinkEvent::Response { id, result, .. } => self.answers.push((id, result)),
            LinkEvent::Push { push, .. } => self.pushes.push(push),
        }
    }
}

pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("it happens before the deadline")
}

pub fn tag_key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

/// A distinct envelope of the smallest bucket.
pub fn envelope(n: u32) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    bytes
}

pub fn put(key: &SecretKey, n: u32) -> Request {
    Request::Put(PutRequest::sign(key, envelope(n), 3_600))
}
