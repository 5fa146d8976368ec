//! Segment files of our own.
