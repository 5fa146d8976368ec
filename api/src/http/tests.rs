//! The read side's routes over real windows and a real history, filled by settling.

mod broadcasts;
mod polls;
mod reader;
mod rooms;
mod server;
