//! Who asks, in which role.

use std::fmt;
use std::net::IpAddr;

use crate::RoomId;
use crate::event::User;

/// What a caller may do. Ordered: each role may do what the ones before it may, except that only an
/// operator adopts rules and only a backend pays, erases and resets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Comments, likes, comes and goes.
    Viewer,
    /// Deletes, mutes, pins, sets the room's rules.
    Moderator,
    /// Runs the broadcast.
    Host,
    /// A trusted service: gifts, recorded broadcasts, erasure; may name another author.
    Backend,
    /// Runs the system.
    Operator,
}

impl Role {
    /// Every role, in order.
    pub const ALL: [Self; 5] = [
        Self::Viewer,
        Self::Moderator,
        Self::Host,
        Self::Backend,
        Self::Operator,
    ];

    /// The role's name on every wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Moderator => "moderator",
            Self::Host => "host",
            Self::Backend => "backend",
            Self::Operator => "operator",
        }
    }

    /// The role of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Among a request's extensions: reads of rooms are private, so that its answer may hold only what its
/// [`Caller`] may read so.
#[derive(Debug, Clone, Copy)]
pub struct PrivateReads;

/// Among a request's extensions: the address that it came from.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Who asks. Made by the one that verified it, handed to everyone who decides by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The roles that the caller holds.
    pub roles: Vec<Role>,
    /// Who the caller is: the author of what it sends. `None` where nobody verified a name.
    pub user: Option<User<'static>>,
    /// The rooms that the caller is restricted to; `None` where it is not.
    pub rooms: Option<Vec<RoomId>>,
    /// Until when this holds, milliseconds since 1970 UTC; `None` where it does not end.
    pub expires_at: Option<i64>,
}

impl Caller {
    /// The caller of a server without a token secret, which listens on loopback alone: it is trusted
    /// with everything, and the body's `user` and `role` stand.
    pub fn unauthenticated_local() -> Self {
        Self {
            roles: vec![Role::Backend, Role::Operator],
            user: None,
            rooms: None,
            expires_at: None,
        }
    }

    /// Somebody of whom nothing is known: who may do nothing that needs a role or a name.
    pub fn unknown() -> Self {
        Self {
            roles: Vec::new(),
            user: None,
            rooms: None,
            expires_at: None,
        }
    }

    /// Whether the caller holds `role`.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether the caller may send to the room.
    pub fn may_send_to(&self, room: &RoomId) -> bool {
        self.rooms.as_ref().is_none_or(|rooms| rooms.contains(room))
    }

    /// Whether the caller may read the room where reads are private: who was given the room by name,
    /// and a trusted service that is not restricted.
    pub fn may_read_privately(&self, room: &RoomId) -> bool {
        match &self.rooms {
            Some(rooms) => rooms.contains(room),
            None => self.is(Role::Backend) || self.is(Role::Operator),
        }
    }
}
