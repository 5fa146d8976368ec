//! The processors: what turns the log into read models.
//!
//! Owns [`settle`], the pure decision of an event's fate, and [`projector`], the one loop that drives
//! any projection from any log reader: read, decode, load, settle, append, checkpoint. [`published`]
//! hands what became visible to whoever analyses, [`rebuild`] builds a read model anew beside the old,
//! [`verify`] proves that the history is what the log says. What a read model stores and how is
//! `danmu-projections`'; no engine is known here.

pub mod projector;
pub mod published;
pub mod rebuild;
pub mod settle;
pub mod verify;

pub use projector::{Projector, ProjectorError, Standing};
pub use published::Published;
