//! Calls and replies on libp2p streams: four bytes of length, then canonical CBOR.

use core::time::Duration;
use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::{self, ProtocolSupport};

use crate::driver::budget::{Budget, Carried};
use crate::wire::{
    Call, MESSAGE_BYTES_MAX, Reply, decode_call, decode_reply, encode_call, encode_reply,
};

/// The one protocol between client and relay, spoken in both directions.
pub const RELAY_PROTOCOL: StreamProtocol = StreamProtocol::new("/decent/relay/1");

/// Requests, pushes and what answers them, as one libp2p behaviour.
pub type Calls = request_response::Behaviour<RelayCodec>;

/// How much of a message is read before it is asked whether more may be held.
const STEP_BYTES: usize = 16 << 10;

/// Reads and writes [`Call`] and [`Reply`]. Bytes that are neither end the stream, as does what the budget
/// has no room for.
#[derive(Clone, Debug)]
pub struct RelayCodec {
    incoming: Budget,
}

/// Makes the behaviour for one side.
///
/// `timeout` covers one exchange including its transfer, `streams` how many may run at once on a
/// connection, both ways together. `incoming` is what everything that comes in may take, until whoever takes
/// it drops it.
#[must_use]
pub fn calls(timeout: Duration, streams: usize, incoming: Budget) -> Calls {
    let config = request_response::Config::default()
        .with_request_timeout(timeout)
        .with_max_concurrent_streams(streams);
    Calls::with_codec(
        RelayCodec { incoming },
        [(RELAY_PROTOCOL, ProtocolSupport::Full)],
        config,
    )
}

impl request_response::Codec for RelayCodec {
    type Protocol = StreamProtocol;
    type Request = Carried<Call>;
    type Response = Carried<Reply>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Carried<Call>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let frame = read_frame(io, &self.incoming).await?;
        frame.decode(decode_call)
    }

    async fn read_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Carried<Reply>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let frame = read_frame(io, &self.incoming).await?;
        frame.decode(decode_reply)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        call: Carried<Call>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &encode_call(call.message)).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        reply: Carried<Reply>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &encode_reply(reply.message)).await
    }
}

impl Carried<Vec<u8>> {
    fn decode<T, E>(self, decode: impl FnOnce(&[u8]) -> Result<T, E>) -> io::Result<Carried<T>>
    where
        E: Into<Box<dyn core::error::Error + Send + Sync>>,
    {
        let Self { message, held } = self;
        let message = decode(&message).map_err(invalid)?;
        Ok(Carried { message, held })
    }
}

async fn read_frame<T: AsyncRead + Unpin + Send>(
    io: &mut T,
    budget: &Budget,
) -> io::Result<Carried<Vec<u8>>> {
    let mut len = [0; 4];
    io.read_exact(&mut len).await?;
    let len = usize::try_from(u32::from_be_bytes(len)).map_err(invalid)?;
    if len > MESSAGE_BYTES_MAX {
        return Err(invalid("message too long"));
    }
    // Grows with what arrives, not with what was claimed.
    let mut message = Vec::new();
    let full = || io::Error::from(io::ErrorKind::OutOfMemory);
    let mut held = budget.hold(0).ok_or_else(full)?;
    while message.len() < len {
        let step = (len - message.len()).min(STEP_BYTES);
        if !held.grow(step) {
            return Err(full());
        }
        let part = (&mut *io).take(step as u64);
        if { part }.read_to_end(&mut message).await? != step {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let held = Some(held);
    Ok(Carried { message, held })
}

async fn write_frame<T: AsyncWrite + Unpin + Send>(io: &mut T, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(invalid)?;
    // One write, so that a small message is one packet.
    io.write_all(&[&len.to_be_bytes(), bytes].concat()).await?;
    io.flush().await
}

fn invalid<E: Into<Box<dyn core::error::Error + Send + Sync>>>(error: E) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
