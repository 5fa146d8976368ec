//! What stands beside a record in Kafka: its slot's epoch, where its trace goes on (W3C), and what the
//! event is (CloudEvents, binary mode), for readers that know nothing of us.
//!
//! Only the epoch is read again. A record without one was not sent by us: it is of epoch 0, and
//! settling decides what its value is worth.

use danmu_schemas::{RoomEvent, codec};
use jiff::Timestamp;
use rdkafka::message::{Header, Headers, OwnedHeaders};

use crate::NewRecord;

/// Four bytes, big-endian.
pub const EPOCH: &str = "epoch";

const HEADERS: usize = 7;

/// The headers of a record.
pub fn of(record: &NewRecord) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(HEADERS);
    let mut headers = with(headers, EPOCH, &record.epoch.to_be_bytes());
    if let Some(traceparent) = record.traceparent {
        headers = with(headers, "traceparent", traceparent.to_string().as_bytes());
    }
    match codec::decode_event(&record.value) {
        Ok((event, _)) => cloud_event(headers, &event),
        Err(_) => headers,
    }
}

/// The epoch of a record with such headers.
pub fn epoch(headers: Option<&impl Headers>) -> u32 {
    let mut headers = headers.into_iter().flat_map(Headers::iter);
    let epoch = headers
        .find(|header| header.key == EPOCH)
        .and_then(|header| header.value);
    let bytes = epoch.and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_be_bytes)
}

fn cloud_event(headers: OwnedHeaders, event: &RoomEvent<'_>) -> OwnedHeaders {
    let source = format!("/v1/rooms/{}", event.room);
    let kind = format!("danmu.v1.{}", event.body.kind());
    let headers = with(headers, "ce_specversion", b"1.0");
    let headers = with(headers, "ce_id", event.id.to_string().as_bytes());
    let headers = with(headers, "ce_source", source.as_bytes());
    let headers = with(headers, "ce_type", kind.as_bytes());
    match Timestamp::from_millisecond(event.accepted_at) {
        Ok(at) => with(headers, "ce_time", at.to_string().as_bytes()),
        // No clock says such a time; CloudEvents can go without.
        Err(_) => headers,
    }
}

/// One header more.
pub fn with(headers: OwnedHeaders, key: &str, value: &[u8]) -> OwnedHeaders {
    headers.insert(Header {
        key,
        value: Some(value),
    })
}

#[cfg(test)]
mod tests;
