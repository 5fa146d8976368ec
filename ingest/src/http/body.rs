//! Reading a request's body: bounded in bytes and in time, and as it was written.
//!
//! Its `Content-Type` is not looked at, since what is no JSON is told so anyway and many clients send
//! none or another; an encoded body (gzip) is refused, since a small one may unfold into a huge one.
//! A body that is too large is read on for a while and thrown away, because a client that is still
//! sending does not read: it would find a broken connection in place of the 413. One that says that it is
//! larger than even that is answered at once.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use danmu_schemas::problem::{Problem, ProblemType};

use super::answer::Refused;

/// The largest body.
pub const BODY_BYTES_MAX: usize = 1_024 * 1_024;
/// How much of a larger one is read so that its sender reads the answer.
pub const DRAINED_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// How long a body may take to arrive.
pub const BODY_WITHIN: Duration = Duration::from_secs(10);

/// The whole body of a request with these headers.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Refused> {
    if is_encoded(headers) {
        return Err(Problem::new(ProblemType::UnsupportedEncoding).into());
    }
    match tokio::time::timeout(BODY_WITHIN, read_bounded(body)).await {
        Ok(read) => read.map_err(|problem_type| Problem::new(problem_type).into()),
        Err(_) => Err(Problem::new(ProblemType::RequestTimeout).into()),
    }
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    codings
        .map(|coding| coding.as_bytes())
        .any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

async fn read_bounded(mut body: Body) -> Result<Bytes, ProblemType> {
    if body.size_hint().lower() > DRAINED_BYTES_MAX as u64 {
        return Err(ProblemType::TooLarge);
    }
    let first = next(&mut body).await?.unwrap_or_default();
    if body.is_end_stream() && first.len() <= BODY_BYTES_MAX {
        return Ok(first);
    }
    let mut len = first.len();
    let mut read = Vec::from(first);
    while let Some(part) = next(&mut body).await? {
        len += part.len();
        if len > DRAINED_BYTES_MAX {
            break;
        }
        if len <= BODY_BYTES_MAX {
            read.extend_from_slice(&part);
        }
    }
    if len > BODY_BYTES_MAX {
        return Err(ProblemType::TooLarge);
    }
    Ok(read.into())
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, ProblemType> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return Ok(None),
            Some(Err(_)) => return Err(ProblemType::BadRequest),
            Some(Ok(frame)) => {
                // A frame that is no data is a trailer, which tells nothing here.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use futures_util::stream::{self, Stream, StreamExt};

    use super::*;

    fn parts(n: usize, bytes: usize) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
        let part = Bytes::from(vec![b' '; bytes]);
        stream::iter(std::iter::repeat_n(part, n).map(Ok))
    }

    async fn status(body: Body) -> u16 {
        match read(&HeaderMap::new(), body).await {
            Ok(_) => 200,
            Err(refused) => refused.into_response().status().as_u16(),
        }
    }

    #[tokio::test]
    async fn a_body_is_as_large_as_it_may_be() {
        let kib = BODY_BYTES_MAX / 1_024;
        assert_eq!(status(Body::empty()).await, 200);
        assert_eq!(status(Body::from(vec![b' '; BODY_BYTES_MAX])).await, 200);
        assert_eq!(
            status(Body::from(vec![b' '; BODY_BYTES_MAX + 1])).await,
            413
        );
        assert_eq!(status(Body::from_stream(parts(kib, 1_024))).await, 200);
        assert_eq!(status(Body::from_stream(parts(kib, 1_025))).await, 413);
    }

    #[tokio::test]
    async fn a_body_without_end_is_read_no_further_than_promised() {
        let endless = parts(usize::MAX, 1_024);
        assert_eq!(status(Body::from_stream(endless)).await, 413);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_a_bad_request() {
        let broken = stream::once(async { Err(std::io::ErrorKind::UnexpectedEof.into()) });
        let body = parts(1, 8).chain(broken);
        assert_eq!(status(Body::from_stream(body)).await, 400);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_not_waited_for() {
        let stalled = parts(1, 8).chain(stream::pending());
        assert_eq!(status(Body::from_stream(stalled)).await, 408);
    }
}
