//! proclab: a laboratory for processes in a terminal.
//!
//! Arrows only point down this list; `scenario`, `model`, `insight`, `expect`, `text` and the drawing
//! in `tui` make no system call.

pub mod actor;
pub mod cli;
pub mod control;
pub mod expect;
pub mod insight;
pub mod model;
pub mod record;
pub mod scenario;
pub mod sys;
pub mod text;
pub mod trace;
pub mod tui;
