//! The server's end of a link: frames out of bytes, read as they are needed.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::Problem;
use crate::framing::{self, HEADER_BYTES};
use crate::wire::Kind;

/// Bytes read from a link at a time, which is also what it holds back from a client that does not read.
const READ_BYTES: usize = 8 << 10;

/// A link, and the frame that is being read from it.
pub(super) struct LinkEnd<L> {
    link: L,
    /// What was read and not yet taken.
    buffer: BytesMut,
    /// The frame under way.
    kind: Kind,
    /// Bytes of its body that are still to be taken.
    left: u32,
}

impl<L: AsyncRead + AsyncWrite + Unpin> LinkEnd<L> {
    pub(super) fn new(link: L) -> Self {
        Self { link, buffer: BytesMut::new(), kind: Kind::Proceed, left: 0 }
    }

    /// Sends bytes. A failure is left to the reading side to find: the answer that says why may be there.
    pub(super) async fn send(&mut self, pieces: &[&[u8]]) {
        for piece in pieces {
            if self.link.write_all(piece).await.is_err() {
                return;
            }
        }
        let _ = self.link.flush().await;
    }

    /// The kind of the frame under way, or of the next one. May be dropped at any time without a loss.
    pub(super) async fn begin(&mut self) -> Result<Kind, Problem> {
        match poll_fn(|cx| self.poll_begin(cx)).await {
            Ok(Some(kind)) => Ok(kind),
            Ok(None) | Err(_) => Err(Problem::Interrupted),
        }
    }

    /// The whole body of the frame under way, if it is not larger than `bytes_max`.
    pub(super) async fn body(&mut self, bytes_max: usize) -> Result<Bytes, Problem> {
        let bytes = self.left as usize;
        if bytes > bytes_max {
            return Err(Problem::Interrupted);
        }
        while self.buffer.len() < bytes {
            match poll_fn(|cx| self.poll_fill(cx)).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return Err(Problem::Interrupted),
            }
        }
        self.left = 0;
        Ok(self.buffer.split_to(bytes).freeze())
    }
}

impl<L: AsyncRead + Unpin> LinkEnd<L> {
    /// Bytes of the frame under way that are still to be taken.
    pub(super) const fn left(&self) -> u32 {
        self.left
    }

    /// The kind of the frame under way, or of the next one; `None` if the link ended after the last.
    pub(super) fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Kind>>> {
        if self.left > 0 {
            return Poll::Ready(Ok(Some(self.kind)));
        }
        loop {
            if let Some(header) = self.buffer.first_chunk::<HEADER_BYTES>() {
                (self.kind, self.left) = framing::read_header(*header).map_err(io::Error::other)?;
                self.buffer.advance(HEADER_BYTES);
                return Poll::Ready(Ok(Some(self.kind)));
            }
            if !ready!(self.poll_fill(cx))? {
                let whole = self.buffer.is_empty();
                return Poll::Ready(if whole { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) });
            }
        }
    }

    /// Some bytes of the frame under way, which has some left.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if self.buffer.is_empty() && !ready!(self.poll_fill(cx))? {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        let piece = self.buffer.split_to(self.buffer.len().min(self.left as usize)).freeze();
        self.left -= u32::try_from(piece.len()).unwrap_or(self.left);
        Poll::Ready(Ok(piece))
    }

    /// Reads more; false if the link has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut bytes = [0; READ_BYTES];
        let mut read = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.link).poll_read(cx, &mut read))?;
        self.buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(!read.filled().is_empty()))
    }
}
