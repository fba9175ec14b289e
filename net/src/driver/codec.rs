//! Calls and replies on libp2p streams: four bytes of length, then canonical CBOR.

use core::time::Duration;
use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::{self, ProtocolSupport};

use crate::wire::{
    Call, MESSAGE_BYTES_MAX, Reply, decode_call, decode_reply, encode_call, encode_reply,
};

/// The one protocol between client and relay, spoken in both directions.
pub const RELAY_PROTOCOL: StreamProtocol = StreamProtocol::new("/decent/relay/1");

/// Requests, pushes and what answers them, as one libp2p behaviour.
pub type Calls = request_response::Behaviour<RelayCodec>;

/// Reads and writes [`Call`] and [`Reply`]. Bytes that are neither end the stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct RelayCodec;

/// Makes the behaviour for one side.
///
/// `timeout` covers one exchange including its transfer, `streams` how many may run at once on a
/// connection, both ways together.
#[must_use]
pub fn calls(timeout: Duration, streams: usize) -> Calls {
    let config = request_response::Config::default()
        .with_request_timeout(timeout)
        .with_max_concurrent_streams(streams);
    Calls::with_codec(
        RelayCodec,
        [(RELAY_PROTOCOL, ProtocolSupport::Full)],
        config,
    )
}

impl request_response::Codec for RelayCodec {
    type Protocol = StreamProtocol;
    type Request = Call;
    type Response = Reply;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Call>
    where
        T: AsyncRead + Unpin + Send,
    {
        decode_call(&read_frame(io).await?).map_err(invalid)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Reply>
    where
        T: AsyncRead + Unpin + Send,
    {
        decode_reply(&read_frame(io).await?).map_err(invalid)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        call: Call,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &encode_call(call)).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        reply: Reply,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &encode_reply(reply)).await
    }
}

async fn read_frame<T: AsyncRead + Unpin + Send>(io: &mut T) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    io.read_exact(&mut len).await?;
    let len = u32::from_be_bytes(len);
    if usize::try_from(len).map_or(true, |len| len > MESSAGE_BYTES_MAX) {
        return Err(invalid("message too long"));
    }
    // Grows with what arrives, not with what was claimed.
    let mut bytes = Vec::new();
    io.take(u64::from(len)).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 != u64::from(len) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
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
