//! The write side: from a client's JSON to an acknowledged record in the log.
//!
//! [`identity`] tells who calls; [`admission`] decides, purely, what is taken and in which words it is
//! refused, and [`rates`] how often; [`likes`] sums the likes of many viewers into few events; [`http`] carries bytes between
//! clients and the log. What an event means in its room is settle's, in `danmu-processors`.

pub mod admission;
pub mod append;
pub mod http;
pub mod identity;
pub mod likes;
pub mod rates;

pub use append::Appender;
pub use http::guard::Guard;
pub use http::origins::Origins;
pub use http::{Ingest, router};
pub use identity::Identity;
