//! What calls need and what would have to be allocated: made before the first statement.

use std::ffi::CString;

use super::own::Own;
use crate::scenario::{Address, Op, Program, Statement};
use crate::sys::call::sockets::SocketAddress;

/// Strings and addresses, ready to be passed.
#[derive(Debug, Default)]
pub struct Prepared {
    /// A path, or the name of a POSIX object.
    pub(super) path: CString,
    /// Where a socket is found.
    pub(super) address: Option<SocketAddress>,
    /// The key of a System V object.
    pub(super) key: i32,
    _argv: Vec<CString>,
    pub(super) pointers: Vec<*const libc::c_char>,
}

impl Prepared {
    fn of(statement: &Statement, own: &Own) -> Option<Self> {
        let c_string = |text: &str| CString::new(text.replace('\0', "")).unwrap_or_default();
        let path = match &statement.op {
            Op::Exec { argv } => {
                let program = argv.first().map_or("", String::as_str);
                let argv: Vec<CString> = argv.iter().map(|word| c_string(word)).collect();
                let pointers = argv.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect();
                let path = crate::sys::spawn::find(program.as_ref()).unwrap_or_else(|_| program.into());
                let path = c_string(&path.to_string_lossy());
                return Some(Self { path, _argv: argv, pointers, ..Self::default() });
            }
            Op::Bind { address, .. } | Op::Connect { address, .. } | Op::Send { address: Some(address), .. } => {
                return Some(Self { address: known(address, own), ..Self::default() });
            }
            Op::Msgget { key, .. } | Op::Shmget { key, .. } | Op::Semget { key, .. } => {
                return Some(Self { key: own.key(*key), ..Self::default() });
            }
            Op::Chdir { path } | Op::Mkfifo { path } | Op::Open { path, .. } | Op::Unlink { path } => c_string(path),
            Op::SemOpen { path, .. } => own.semaphore(path),
            Op::MqOpen { path, .. }
            | Op::MqUnlink { path }
            | Op::ShmOpen { path, .. }
            | Op::ShmUnlink { path }
            | Op::SemUnlink { path } => own.name(path),
            _ => return None,
        };
        Some(Self { path, ..Self::default() })
    }

    /// What every statement needs, by number.
    pub fn all(program: &Program, own: &Own) -> Vec<Option<Self>> {
        fn fill(body: &[Statement], own: &Own, table: &mut [Option<Prepared>]) {
            for statement in body {
                if let Some(slot) = table.get_mut(statement.id.index()) {
                    *slot = Prepared::of(statement, own);
                }
                statement.op.bodies().for_each(|inner| fill(inner, own, table));
            }
        }
        let mut table: Vec<Option<Self>> = program.statements.iter().map(|_| None).collect();
        program.roots.iter().for_each(|root| fill(&root.body, own, &mut table));
        table
    }
}

/// An address that is known before the run.
fn known(address: &Address, own: &Own) -> Option<SocketAddress> {
    match address {
        Address::Path(path) => Some(SocketAddress::path(path.as_bytes())),
        Address::Abstract(name) => Some(SocketAddress::hidden(&own.hidden(name))),
        Address::Inet(port) => Some(SocketAddress::loopback(*port)),
        Address::Name(_) => None,
    }
}
