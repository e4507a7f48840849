//! Responses: out of the frames of a link, or out of a problem that no link was needed for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Problem;
use crate::adapter::link::LinkEnd;
use crate::wire::{BodyKind, Kind, RESPONSE_HEAD_BYTES_MAX, ResponseHead};

/// The response to a request that was not served.
pub fn problem(problem: &Problem) -> Response<Body> {
    let mut response = Response::new(Body::from(problem.body()));
    *response.status_mut() =
        StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA_TYPE));
    if let Some((name, value)) = problem.field() {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    // Whoever serves the routes can tell why.
    response.extensions_mut().insert(problem.clone());
    response
}

/// What an OPTIONS is answered with.
pub(super) fn allow(methods: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

/// The response that a link brings; its body is read from the link as the client takes it.
pub(super) async fn from_link<L>(mut link: LinkEnd<L>, head_only: bool) -> Result<Response<Body>, Problem>
where
    L: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    if link.begin().await? != Kind::ResponseHead {
        return Err(Problem::Interrupted);
    }
    let bytes = link.body(RESPONSE_HEAD_BYTES_MAX).await?;
    let head = ResponseHead::decode(&bytes).map_err(|_| Problem::Interrupted)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(head.status).map_err(|_| Problem::Interrupted)?;
    for (name, value) in &head.fields {
        let name = HeaderName::try_from(*name).map_err(|_| Problem::Interrupted)?;
        let value = HeaderValue::try_from(*value).map_err(|_| Problem::Interrupted)?;
        response.headers_mut().append(name, value);
    }
    if head.body == BodyKind::Whole {
        if link.begin().await? != Kind::ResponseBody {
            return Err(Problem::Interrupted);
        }
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(link.left()));
    }
    if head.body != BodyKind::Empty && !head_only {
        *response.body_mut() = Body::new(LinkBody { link, stream: head.body == BodyKind::Stream });
    }
    Ok(response)
}

/// A response's body that is still on the link. Dropping it, as the server does when its client is gone, ends the link.
struct LinkBody<L> {
    link: LinkEnd<L>,
    /// Whether more frames follow the one under way.
    stream: bool,
}

impl<L: AsyncRead + Unpin> HttpBody for LinkBody<L> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let body = &mut *self;
        while body.link.left() == 0 {
            if !body.stream {
                return Poll::Ready(None);
            }
            match ready!(body.link.poll_begin(cx)) {
                Ok(Some(Kind::StreamChunk)) => {}
                Ok(None) => return Poll::Ready(None),
                Ok(Some(_)) => return Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into()))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        Poll::Ready(Some(ready!(body.link.poll_piece(cx)).map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        !self.stream && self.link.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.stream { SizeHint::new() } else { SizeHint::with_exact(u64::from(self.link.left())) }
    }
}
