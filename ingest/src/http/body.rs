//! Reading a request's body: bounded in bytes and in time, and as it was written.
//!
//! Its `Content-Type` is not looked at, since what is no JSON is told so anyway and many clients send
//! none or another; an encoded body (gzip) is refused, since a small one may unfold into a huge one.
//! A body that is too large is read on for a while and thrown away, because a client that is still
//! sending does not read: it would find a broken connection in place of the 413. One that says that it is
//! larger than even that is answered at once.
//!
//! Many large bodies that stop half-way would hold much memory for as long as a body may take. So what
//! comes after a body's first part takes of a room that all share; where that is used up, the request is
//! refused. Viewers have one room and all others another, so that no crowd keeps a backend's arrays out.
//! What arrives in one piece, as every single event does, needs none of either.

use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use danmu_schemas::problem::{Problem, ProblemType};
use danmu_schemas::{Caller, Role};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::OVERLOADED_RETRY_S;
use super::answer::Refused;

/// The largest body.
pub const BODY_BYTES_MAX: usize = 1_024 * 1_024;
/// How much of a larger one is read so that its sender reads the answer.
pub const DRAINED_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// How long a body may take to arrive.
pub const BODY_WITHIN: Duration = Duration::from_secs(10);

/// How many bytes of bodies that come in parts may be held at once, beyond the first part of each: of
/// viewers one half, of all others the other.
pub const HELD_BYTES_MAX: usize = 128 * 1_024 * 1_024;

/// The rooms of all bodies.
#[derive(Debug)]
pub(super) struct Bodies {
    viewers: Room,
    others: Room,
}

/// The room that bodies share. Clones share it too.
#[derive(Debug, Clone)]
pub(super) struct Room {
    left: Arc<Semaphore>,
}

/// A whole body. Gives its room back when it is dropped.
#[derive(Debug)]
pub(super) struct Whole {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    /// Room for [`HELD_BYTES_MAX`].
    pub(super) fn new() -> Self {
        Self {
            viewers: Room::new(HELD_BYTES_MAX / 2),
            others: Room::new(HELD_BYTES_MAX / 2),
        }
    }

    /// Where the bodies that this caller sends have room.
    pub(super) fn of(&self, caller: &Caller) -> &Room {
        match caller.roles.iter().all(|role| *role == Role::Viewer) {
            true => &self.viewers,
            false => &self.others,
        }
    }
}

impl Room {
    fn new(bytes: usize) -> Self {
        Self {
            left: Arc::new(Semaphore::new(bytes)),
        }
    }

    /// The whole body of a request with these headers.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Whole, Refused> {
        if is_encoded(headers) {
            return Err(Problem::new(ProblemType::UnsupportedEncoding).into());
        }
        let read = tokio::time::timeout(BODY_WITHIN, self.read_bounded(body)).await;
        read.unwrap_or(Err(ProblemType::RequestTimeout))
            .map_err(|problem_type| refused(problem_type).into())
    }

    async fn read_bounded(&self, mut body: Body) -> Result<Whole, ProblemType> {
        if body.size_hint().lower() > DRAINED_BYTES_MAX as u64 {
            return Err(ProblemType::TooLarge);
        }
        let first = next(&mut body).await?.unwrap_or_default();
        if body.is_end_stream() && first.len() <= BODY_BYTES_MAX {
            return Ok(Whole {
                bytes: first,
                _room: None,
            });
        }
        let mut room = self.take(0)?;
        let mut len = first.len();
        let mut read = Vec::from(first);
        while let Some(part) = next(&mut body).await? {
            len += part.len();
            if len > DRAINED_BYTES_MAX {
                break;
            }
            if len <= BODY_BYTES_MAX {
                room.merge(self.take(part.len())?);
                read.extend_from_slice(&part);
            }
        }
        if len > BODY_BYTES_MAX {
            return Err(ProblemType::TooLarge);
        }
        Ok(Whole {
            bytes: read.into(),
            _room: Some(room),
        })
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ProblemType> {
        let bytes = u32::try_from(bytes).map_err(|_| ProblemType::TooLarge)?;
        let room = Arc::clone(&self.left).try_acquire_many_owned(bytes);
        room.map_err(|_| ProblemType::Overloaded)
    }
}

impl Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

fn refused(problem_type: ProblemType) -> Problem {
    let problem = Problem::new(problem_type);
    match problem_type {
        ProblemType::Overloaded => problem.retry_after_s(OVERLOADED_RETRY_S),
        _ => problem,
    }
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    codings
        .map(|coding| coding.as_bytes())
        .any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
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
        status_in(&Room::new(HELD_BYTES_MAX), body).await
    }

    async fn status_in(room: &Room, body: Body) -> u16 {
        match room.read(&HeaderMap::new(), body).await {
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

    #[tokio::test(start_paused = true)]
    async fn bodies_that_stop_half_way_hold_no_more_than_there_is_room_for() {
        let room = Room::new(4_096);
        let stalled = Body::from_stream(parts(5, 1_024).chain(stream::pending()));
        let stalled = tokio::spawn({
            let room = room.clone();
            async move { status_in(&room, stalled).await }
        });
        tokio::task::yield_now().await;
        let large = || Body::from_stream(parts(2, 1_024));
        assert_eq!(status_in(&room, large()).await, 503);
        let small = || Body::from(vec![b' '; 1_024]);
        assert_eq!(status_in(&room, small()).await, 200);
        assert_eq!(stalled.await.ok(), Some(408));
        assert_eq!(status_in(&room, large()).await, 200);
        assert_eq!(room.left.available_permits(), 4_096);
    }

    #[tokio::test]
    async fn viewers_take_no_room_from_others() {
        let bodies = Bodies::new();
        let caller = |roles: &[Role]| Caller {
            user: None,
            roles: roles.to_vec(),
            rooms: None,
            expires_at: None,
        };
        let viewers = bodies.of(&caller(&[Role::Viewer]));
        let _crowd = viewers.take(HELD_BYTES_MAX / 2).expect("all of theirs");
        let large = || Body::from_stream(parts(2, 1_024));
        assert_eq!(status_in(bodies.of(&caller(&[])), large()).await, 503);
        let moderator = caller(&[Role::Viewer, Role::Moderator]);
        assert_eq!(status_in(bodies.of(&moderator), large()).await, 200);
    }
}
