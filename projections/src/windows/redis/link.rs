//! Calls of the library's functions over a connection.
//!
//! A call whose connection is lost, or that takes too long, may have run: nothing is tried again here. Whoever
//! called opens the slot again. Only a call that the server refused because it lost the library is made
//! once more, after loading it.

use redis::aio::PubSub;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};

use super::connection::Connection;
use super::library::{self, Found, LibraryRole};
use super::{ConnectError, RedisOptions};
use crate::projection::{StoreError, together};

/// How many calls go in one pipeline: it is sent and answered as one, and no other call of the
/// connection is answered meanwhile.
const PIPELINE_LEN_MAX: usize = 128;
/// How many pipelines of one [`Link::call_all`] are under way at once: while the server works on one,
/// the next is there.
const PIPELINES_AT_ONCE: usize = 4;

pub(super) struct Link {
    connection: Connection,
    options: RedisOptions,
}

impl Link {
    /// Connects, and sees to it that the server has the library.
    pub(super) async fn connect(options: RedisOptions) -> Result<Self, ConnectError> {
        let connection = Connection::open(&options).await;
        let link = Self {
            connection: connection.map_err(|error| ConnectError::of(&options, error))?,
            options,
        };
        link.find_library().await?;
        link.tell_policy().await?;
        Ok(link)
    }

    /// Calls a function; `what` names it for whoever reads the error.
    pub(super) async fn call(&self, what: &'static str, call: &Cmd) -> Result<Value, StoreError> {
        let mut called = self.connection.query(call).await;
        if self.has_lost_library(&called) {
            called = match self.load_library().await {
                Ok(()) => self.connection.query(call).await,
                Err(error) => Err(error),
            };
        }
        called.map_err(|error| unavailable(what, error))
    }

    /// Calls functions, many at once; the outcomes in their order, each its own. Where the library was
    /// lost meanwhile a call may be made twice: it must be one that finds itself done.
    pub(super) async fn call_all(
        &self,
        what: &'static str,
        calls: Vec<Cmd>,
    ) -> Vec<Result<Value, StoreError>> {
        let pipelines = pipelines(calls);
        let each = pipelines.iter().map(|calls| self.call_pipeline(calls));
        let called = together(PIPELINES_AT_ONCE, each.collect()).await;
        let called = called.into_iter().flatten();
        let told = |called: RedisResult<Value>| called.map_err(|error| unavailable(what, error));
        called.map(told).collect()
    }

    async fn call_pipeline(&self, calls: &Pipeline) -> Vec<RedisResult<Value>> {
        let called = self.connection.query_all(calls).await;
        if !called.iter().any(|called| self.has_lost_library(called)) {
            return called;
        }
        match self.load_library().await {
            Ok(()) => self.connection.query_all(calls).await,
            Err(_) => called,
        }
    }

    fn has_lost_library(&self, called: &RedisResult<Value>) -> bool {
        let is_missing = called.as_ref().is_err_and(library::is_missing);
        is_missing && self.options.library == LibraryRole::Loads
    }

    async fn load_library(&self) -> RedisResult<()> {
        tracing::warn!(address = %self.options.address, "redis has lost its functions");
        self.connection.query(&library::load()).await.map(drop)
    }

    /// A connection of its own to hear messages.
    pub(super) async fn subscriber(&self) -> RedisResult<PubSub> {
        self.connection.subscriber(&self.options).await
    }

    pub(super) fn options(&self) -> &RedisOptions {
        &self.options
    }

    /// At the start, what a server answers is about us and not about a call.
    async fn ask(&self, question: &Cmd) -> Result<Value, ConnectError> {
        let answered = self.connection.query(question).await;
        answered.map_err(|error| ConnectError::of(&self.options, error))
    }

    async fn find_library(&self) -> Result<(), ConnectError> {
        let found = library::found(&self.ask(&library::list()).await?);
        match (found, self.options.library) {
            (Found::Ours, _) => Ok(()),
            (_, LibraryRole::Loads) => self.ask(&library::load()).await.map(drop),
            (found, LibraryRole::Checks) => Err(ConnectError::Library {
                address: self.options.address.clone(),
                found: match found {
                    Found::Another => "another one of that name",
                    Found::Nothing | Found::Ours => "none",
                },
            }),
        }
    }

    /// Says so where the server may evict keys. What it evicts is noticed and refilled, again and again.
    async fn tell_policy(&self) -> Result<(), ConnectError> {
        let mut question = redis::cmd("INFO");
        let answer = self.ask(question.arg("memory")).await?;
        for policy in policies(&answer) {
            if policy != "noeviction" {
                tracing::warn!(
                    address = %self.options.address,
                    policy,
                    "redis may evict windows; its maxmemory-policy should be noeviction"
                );
            }
        }
        Ok(())
    }
}

/// Calls in pipelines of a bounded length, in their order.
fn pipelines(calls: Vec<Cmd>) -> Vec<Pipeline> {
    let mut pipelines: Vec<Pipeline> = Vec::new();
    for (n, call) in calls.into_iter().enumerate() {
        if n % PIPELINE_LEN_MAX == 0 {
            let mut next = Pipeline::with_capacity(PIPELINE_LEN_MAX);
            next.ignore_errors();
            pipelines.push(next);
        }
        if let Some(last) = pipelines.last_mut() {
            last.add_command(call);
        }
    }
    pipelines
}

fn unavailable(what: &'static str, error: RedisError) -> StoreError {
    StoreError::Unavailable {
        what,
        source: Box::new(error),
    }
}

/// What the nodes that answer an `INFO memory` do when memory runs out.
fn policies(info: &Value) -> Vec<String> {
    let of_text = |text: &str| {
        let policy = |line: &str| Some(line.strip_prefix("maxmemory_policy:")?.to_owned());
        text.lines().filter_map(policy).collect()
    };
    match info {
        Value::BulkString(text) => of_text(&String::from_utf8_lossy(text)),
        Value::VerbatimString { text, .. } => of_text(text),
        Value::Map(nodes) => nodes.iter().flat_map(|(_, node)| policies(node)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_tells_its_policy() {
        let info = |policy: &str| {
            let text = format!("# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:{policy}\r\n");
            Value::BulkString(text.into())
        };
        assert_eq!(policies(&info("noeviction")), ["noeviction"]);
        let node = |n: i64, policy| (Value::Int(n), info(policy));
        let cluster = Value::Map(vec![node(1, "noeviction"), node(2, "allkeys-lru")]);
        assert_eq!(policies(&cluster), ["noeviction", "allkeys-lru"]);
    }
}
