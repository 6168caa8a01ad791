//! `proclab completions`: what a shell needs to complete command lines.

use super::out::print_bytes;
use super::{Exit, Failure, command};

/// Print the completions of a shell
///
/// For bash: proclab completions bash > ~/.local/share/bash-completion/completions/proclab
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Runs the command.
pub fn completions(args: &Args) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "proclab", &mut text);
    print_bytes(&text).map(|()| Exit::DONE)
}
