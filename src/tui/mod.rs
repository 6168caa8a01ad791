//! The screen of the lab, and the picker.
//!
//! [`update()`](update::update) decides what becomes of the [`App`] and returns effects, the loop
//! in [`lab`] performs them, [`view::render`] draws. Only the loop and [`terminal`] touch the
//! system; everything else is pure and is tested as keys in, screen out.

pub mod app;
mod charset;
mod input;
pub mod keymap;
mod layout;
mod markdown;
mod options;
mod picker;
mod run;
pub mod terminal;
mod text;
mod theme;
mod tty;
pub mod update;
pub mod view;
mod words;

pub use app::{App, Look};
pub use keymap::{CommandInfo, commands};
pub use options::{Beginning, Judge, LabExit, LabOptions, NotATerminal, Source, Starter};
pub use picker::{
    Picker, PickerAction, PickerDetails, PickerEffect, PickerEntry, PickerOptions, pick, render as render_picker,
};
pub use run::lab;
pub use theme::{Role, Theme};
pub use words::Words;
