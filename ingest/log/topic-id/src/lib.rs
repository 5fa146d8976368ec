//! Which topic a Kafka topic is: the id that the cluster gave it when it was made.
//!
//! A topic that is deleted and made again has the same name and starts again at offset 0, but has
//! another id. Positions in the one mean nothing in the other, so a log is known by this id.
//! librdkafka tells it, rdkafka does not; asking needs raw pointers, and this crate is where they
//! are. Nothing outlives the call.

use std::ffi::{CString, c_int};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as raw;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;

/// The id of `topic`, 32 hexadecimal digits; asked of the cluster, which must answer `within` that
/// time. Blocks.
pub fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    within: Duration,
) -> Result<String, RDKafkaErrorCode> {
    let name = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let within_ms = c_int::try_from(within.as_millis()).unwrap_or(c_int::MAX);
    ask(client, &name, within_ms)
}

/// Frees what librdkafka handed out, when it goes out of scope.
struct Owned<T> {
    pointer: *mut T,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(pointer: *mut T, free: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        (!pointer.is_null()).then_some(Self { pointer, free })
    }
}

impl<T> Drop for Owned<T> {
    #[expect(unsafe_code, reason = "what librdkafka made only librdkafka frees")]
    fn drop(&mut self) {
        // SAFETY: the pointer is not null, came from librdkafka, is freed by the function that belongs
        // to it, and only here.
        unsafe { (self.free)(self.pointer) }
    }
}

#[expect(unsafe_code, reason = "rdkafka has no safe call for this")]
fn ask<C: ClientContext>(
    client: &Client<C>,
    name: &CString,
    within_ms: c_int,
) -> Result<String, RDKafkaErrorCode> {
    const FAILED: RDKafkaErrorCode = RDKafkaErrorCode::Fail;
    let handle = client.native_ptr();
    let mut names = [name.as_ptr()];
    // SAFETY: `handle` lives as long as `client`, which is borrowed for the whole call. The names are
    // copied. Each object is kept by an `Owned` until the end of the call, and everything read from
    // the event is copied before the event is freed, which is before the queue is: locals are dropped
    // in the reverse of their order.
    unsafe {
        let topics = raw::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let topics = Owned::new(topics, raw::rd_kafka_TopicCollection_destroy).ok_or(FAILED)?;
        let operation = raw::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = raw::rd_kafka_AdminOptions_new(handle, operation);
        let options = Owned::new(options, raw::rd_kafka_AdminOptions_destroy).ok_or(FAILED)?;
        let queue = raw::rd_kafka_queue_new(handle);
        let queue = Owned::new(queue, raw::rd_kafka_queue_destroy).ok_or(FAILED)?;
        raw::rd_kafka_DescribeTopics(handle, topics.pointer, options.pointer, queue.pointer);
        let event = raw::rd_kafka_queue_poll(queue.pointer, within_ms);
        let event = Owned::new(event, raw::rd_kafka_event_destroy)
            .ok_or(RDKafkaErrorCode::OperationTimedOut)?;
        checked(raw::rd_kafka_event_error(event.pointer))?;

        let result = raw::rd_kafka_event_DescribeTopics_result(event.pointer);
        let mut count = 0;
        let described = match result.is_null() {
            true => return Err(FAILED),
            false => raw::rd_kafka_DescribeTopics_result_topics(result, &mut count),
        };
        if count != 1 {
            return Err(FAILED);
        }
        let described = *described;
        checked(raw::rd_kafka_error_code(
            raw::rd_kafka_TopicDescription_error(described),
        ))?;
        let id = raw::rd_kafka_TopicDescription_topic_id(described);
        let (high, low) = (
            raw::rd_kafka_Uuid_most_significant_bits(id),
            raw::rd_kafka_Uuid_least_significant_bits(id),
        );
        match (high, low) {
            // A cluster from before topics had ids.
            (0, 0) => Err(RDKafkaErrorCode::UnsupportedVersion),
            (high, low) => Ok(format!("{high:016x}{low:016x}")),
        }
    }
}

fn checked(code: raw::rd_kafka_resp_err_t) -> Result<(), RDKafkaErrorCode> {
    match code.into() {
        RDKafkaErrorCode::NoError => Ok(()),
        error => Err(error),
    }
}
