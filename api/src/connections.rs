//! The long connections of a process, counted: how many are open, what they were sent, why they ended.
//!
//! Counts by transport and reason, never by room. The handles are those of the metrics recorder that is
//! in force when this is made.

use std::sync::Arc;

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

/// Why a long connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The client closed it, or is gone.
    Left,
    /// The client did not keep to the protocol.
    Protocol,
    /// The client's token is no longer good.
    Token,
    /// The client did not take what it was sent.
    Slow,
    /// The client sent too much.
    Flood,
    /// The process stops.
    Stopping,
    /// The room cannot be read at the moment.
    Refused,
}

impl Reason {
    const ALL: [Self; 7] = [
        Self::Left,
        Self::Protocol,
        Self::Token,
        Self::Slow,
        Self::Flood,
        Self::Stopping,
        Self::Refused,
    ];

    /// The code that closes a socket. A client that left gets its own back, or the normal one.
    pub(crate) fn close_code(self) -> u16 {
        match self {
            Self::Left => 1_000,
            Self::Protocol => 4_400,
            Self::Token => 4_401,
            Self::Slow => 4_408,
            Self::Flood => 4_429,
            Self::Stopping | Self::Refused => 4_503,
        }
    }

    /// What the client is told: plain ASCII, at most 123 bytes.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Left => "",
            Self::Protocol => "not the protocol",
            Self::Token => "renew the token",
            Self::Slow => "too slow",
            Self::Flood => "wait",
            Self::Stopping | Self::Refused => "come back with jitter",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Protocol => "protocol",
            Self::Token => "token",
            Self::Slow => "slow",
            Self::Flood => "flood",
            Self::Stopping => "stopping",
            Self::Refused => "refused",
        }
    }
}

/// The counters of both transports.
pub(crate) struct Connections {
    stream: Arc<Transport>,
    socket: Arc<Transport>,
}

struct Transport {
    open: Gauge,
    bytes: Counter,
    closed: [Counter; Reason::ALL.len()],
}

/// An open connection; counted as left when it is dropped, unless it says otherwise.
pub(crate) struct Open {
    transport: Arc<Transport>,
    reason: Reason,
}

impl Connections {
    /// Nobody is connected yet.
    pub(crate) fn new() -> Self {
        Self {
            stream: Arc::new(Transport::new("stream")),
            socket: Arc::new(Transport::new("socket")),
        }
    }

    /// Another stream.
    pub(crate) fn open_stream(&self) -> Open {
        Open::new(&self.stream)
    }

    /// Another socket.
    pub(crate) fn open_socket(&self) -> Open {
        Open::new(&self.socket)
    }
}

impl Transport {
    fn new(transport: &'static str) -> Self {
        const OPEN: &str = "danmu_live_connections";
        const BYTES: &str = "danmu_live_sent_bytes_total";
        const CLOSED: &str = "danmu_live_closed_total";
        describe_gauge!(OPEN, "open streams and sockets");
        describe_counter!(BYTES, Unit::Bytes, "bytes sent over streams and sockets");
        describe_counter!(CLOSED, "streams and sockets that ended");
        let closed =
            |reason: Reason| counter!(CLOSED, "transport" => transport, "reason" => reason.name());
        Self {
            open: gauge!(OPEN, "transport" => transport),
            bytes: counter!(BYTES, "transport" => transport),
            closed: Reason::ALL.map(closed),
        }
    }
}

impl Open {
    fn new(transport: &Arc<Transport>) -> Self {
        transport.open.increment(1);
        Self {
            transport: Arc::clone(transport),
            reason: Reason::Left,
        }
    }

    /// Counts what was sent.
    pub(crate) fn sent(&self, bytes: usize) {
        self.transport.bytes.increment(bytes as u64);
    }

    /// Says why it ends.
    pub(crate) fn closes(&mut self, reason: Reason) {
        self.reason = reason;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.transport.open.decrement(1);
        self.transport.closed[self.reason as usize].increment(1);
    }
}
