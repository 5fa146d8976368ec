//! From events to acknowledged records: encode, route, append.
//!
//! Room → slot → route → partition, never by a hash over partitions. All events of a call are of one
//! room, so that they go to one partition, in their order.

use bytes::Bytes;
use danmu_log::{AppendError, Lane, LogWriter, NewRecord, Routes};
use danmu_schemas::{Partition, RoomEvent, RoomId, Traceparent, codec};

use crate::admission;

/// Appends a room's events to the log.
#[derive(Debug, Clone)]
pub struct Appender<W> {
    writer: W,
    routes: Routes,
}

/// Why events were not acknowledged. The two differ in what their sender must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAppended {
    /// Nothing was appended: try again later.
    #[error("nothing was appended")]
    Overloaded,
    /// It may or may not have been appended: a retry must carry the same ids.
    #[error("the outcome is not known")]
    Unknown,
}

impl<W: LogWriter> Appender<W> {
    /// An appender to `writer`'s log, whose slots are where `routes` says.
    pub fn new(writer: W, routes: Routes) -> Self {
        Self { writer, routes }
    }

    /// Appends `events` (at least one) of `room`, in order, all of them with the trace that they belong to;
    /// `Ok` once they are durable.
    pub async fn append(
        &self,
        room: &RoomId,
        events: &[RoomEvent<'_>],
        traceparent: Option<Traceparent>,
    ) -> Result<(), NotAppended> {
        let route = self.routes.route(room.slot());
        let key = Bytes::copy_from_slice(room.as_str().as_bytes());
        let record = |event: &RoomEvent<'_>| NewRecord {
            epoch: route.epoch,
            lane: lane(event),
            key: key.clone(),
            value: codec::to_wire(event).into(),
            traceparent,
        };
        let records = events.iter().map(record).collect();
        match self
            .writer
            .append(Partition(route.partition), records)
            .await
        {
            Ok(_first_offset) => Ok(()),
            Err(AppendError::Overloaded(why)) => {
                tracing::debug!(%room, why, "an append was refused");
                Err(NotAppended::Overloaded)
            }
            Err(AppendError::Unknown(source)) => {
                tracing::warn!(%room, %source, "the outcome of an append is not known");
                Err(NotAppended::Unknown)
            }
        }
    }
}

fn lane(event: &RoomEvent<'_>) -> Lane {
    match admission::is_any_viewers(&event.body) {
        true => Lane::Viewers,
        false => Lane::Priority,
    }
}
