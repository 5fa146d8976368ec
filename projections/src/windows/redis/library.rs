//! The library of functions: which it is, whether a server has it, and loading it.
//!
//! Its name says its version, so that builds of two versions can stand beside one another on a server.
//! Only who may write to the server's functions loads it; the others look whether it is there.

use redis::{Cmd, Value};

/// The library's name, with which its functions' names begin.
pub(super) const NAME: &str = "danmu_windows_1";

const CODE: &str = include_str!("windows.lua");

/// What a process does about the library of functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LibraryRole {
    /// Loads it where it is not there, at the start and whenever the server has lost it.
    Loads,
    /// Only looks whether it is there: another process loads it.
    Checks,
}

/// What a server has under the library's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Ours,
    Another,
    Nothing,
}

/// Asks for the library with its code.
pub(super) fn list() -> Cmd {
    let mut list = redis::cmd("FUNCTION");
    list.arg("LIST").arg("LIBRARYNAME").arg(NAME);
    list.arg("WITHCODE");
    list
}

/// Loads the library in the place of what has its name.
pub(super) fn load() -> Cmd {
    let mut load = redis::cmd("FUNCTION");
    load.arg("LOAD").arg("REPLACE").arg(CODE);
    load
}

/// What the answer to [`list`] says.
pub(super) fn found(listed: &Value) -> Found {
    let Value::Array(libraries) = listed else {
        return Found::Nothing;
    };
    match libraries.first() {
        None => Found::Nothing,
        Some(Value::Array(parts)) => {
            let is_code = |part: &Value| *part == Value::BulkString(CODE.into());
            match parts.iter().any(is_code) {
                true => Found::Ours,
                false => Found::Another,
            }
        }
        Some(_) => Found::Another,
    }
}

/// Whether an error says that the server does not have a function.
pub(super) fn is_missing(error: &redis::RedisError) -> bool {
    let detail = error.detail();
    detail.is_some_and(|detail| detail.contains("Function not found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_has_its_name() {
        assert_eq!(CODE.lines().next(), Some("#!lua name=danmu_windows_1"));
        assert!(CODE.contains(&format!("'{NAME}_' .. name")));
    }
}
