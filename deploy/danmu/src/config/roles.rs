//! What a process does, and which roles need which engine.
//!
//! An engine of one process (its memory, its files) serves only roles of that process. So a process
//! that has one has every role that needs it, or none of them.

use std::fmt;

/// One thing that a process may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes events and likes into the log.
    Ingest,
    /// Projects the log into the windows.
    Windows,
    /// Projects the log into the history.
    History,
    /// Answers reads.
    Api,
}

impl Role {
    /// Every role, in the order of an event's way.
    const ALL: [Self; 4] = [Self::Ingest, Self::Windows, Self::History, Self::Api];
    /// The roles that append to the log or read it.
    pub const OF_LOG: &'static [Self] = &[Self::Ingest, Self::Windows, Self::History];
    /// The roles that write the windows or read them.
    pub const OF_WINDOWS: &'static [Self] = &[Self::Windows, Self::Api];
    /// The roles that write the history or read it.
    pub const OF_HISTORY: &'static [Self] = &[Self::Windows, Self::History, Self::Api];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Windows => "windows",
            Self::History => "history",
            Self::Api => "api",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a process does: at least one role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles([bool; Role::ALL.len()]);

impl Roles {
    /// Everything.
    pub const ALL: Self = Self([true; Role::ALL.len()]);

    /// The roles of a list like `ingest,api`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut roles = Self([false; Role::ALL.len()]);
        for name in text.split(',').map(str::trim) {
            let role = Role::parse(name);
            let role = role.ok_or_else(|| {
                format!("{name:?} is no role: they are {}", listed(Role::ALL, ", "))
            })?;
            roles.0[role as usize] = true;
        }
        Ok(roles)
    }

    /// Whether the process has this role.
    pub fn has(self, role: Role) -> bool {
        self.0[role as usize]
    }

    /// Whether the process has any of them.
    pub fn has_any(self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.has(*role))
    }

    /// Checks that an engine of this process alone serves every role that needs it, `users`, if it
    /// serves one.
    pub fn check_own(self, engine: &str, users: &[Role]) -> Result<(), String> {
        let missing = users.iter().find(|role| !self.has(**role));
        match missing {
            Some(missing) if self.has_any(users) => Err(format!(
                "{engine} is one process's own, which needs the roles {}; {missing} is missing",
                listed(users.iter().copied(), ", ")
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Role::ALL.into_iter().filter(|role| self.has(*role));
        f.write_str(&listed(named, ","))
    }
}

fn listed(roles: impl IntoIterator<Item = Role>, between: &str) -> String {
    let names: Vec<&str> = roles.into_iter().map(Role::as_str).collect();
    names.join(between)
}
