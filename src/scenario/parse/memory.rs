//! The statements about shared memory, and those about locks.

use kdl::{KdlEntry, KdlValue};

use super::node::{Node, Spanned};
use super::scope::Resolver;
use crate::scenario::{LockKind, ObjectKind, Op, Value};

const ANY: std::ops::Range<i64> = i64::MIN..i64::MAX;

impl Resolver<'_, '_> {
    /// The operation of a statement about memory.
    pub(super) fn memory_op(&mut self, node: &Node<'_>) -> Option<Op> {
        Some(match node.word.name {
            "load" => {
                let var = self.assigned(node.args[0]);
                let segment = self.object(node.args[1], ObjectKind::Segment);
                Op::Load { offset: self.cell(node.args[2])?, var: var?, segment: segment? }
            }
            "store" => {
                let segment = self.object(node.args[0], ObjectKind::Segment);
                let (offset, value) = (self.cell(node.args[1]), self.number(node.args[2], "the value", ANY));
                Op::Store { segment: segment?, offset: offset?, value: value? }
            }
            "store-text" => {
                let segment = self.object(node.args[0], ObjectKind::Segment);
                let (offset, text) = (self.number(node.args[1], "the offset", 0..i64::MAX), self.value(node.args[2]));
                Op::StoreText { segment: segment?, offset: offset?, text: text? }
            }
            _ => {
                let segment = self.object(node.args[0], ObjectKind::Segment);
                let (offset, value) = (self.cell(node.args[1]), self.number(node.args[2], "what is added", ANY));
                let into = self.assigned_option(node, "into").ok()?;
                Op::AtomicAdd { segment: segment?, offset: offset?, value: value?, into }
            }
        })
    }

    /// The offset of a cell of 64 bits. One instruction reaches it as a whole only if it is aligned.
    fn cell(&mut self, entry: &KdlEntry) -> Option<Value> {
        let offset = self.number(entry, "the offset", 0..i64::MAX)?;
        match (&offset, entry.value()) {
            (Value::Number(number), KdlValue::Integer(_)) if number % 8 != 0 => {
                let help = Some(format!("a cell has 8 bytes: write {} or {}", number / 8 * 8, number / 8 * 8 + 8));
                self.report.error(entry.range(), format!("no cell begins at {number}"), help);
                None
            }
            _ => Some(offset),
        }
    }

    /// The operation of a statement about locks.
    pub(super) fn lock_op(&mut self, node: &Node<'_>) -> Option<Op> {
        let fd = self.descriptor(node.args[0]);
        let (read, write, unlock) = (LockKind::Read, LockKind::Write, LockKind::Unlock);
        let kinds: &[_] = match node.word.name {
            "fcntl-lock" => &[("read", read), ("write", write), ("unlock", unlock)],
            "fcntl-getlk" => &[("read", read), ("write", write)],
            _ => &[("shared", read), ("exclusive", write), ("unlock", unlock)],
        };
        let kind = self.choice(node.args[1], "kind of lock", kinds);
        if node.word.name == "flock" {
            return Some(Op::Flock { nonblock: self.report.flag(node, "nonblock"), fd: fd?, kind: kind? });
        }
        let start = self.number_option(node, "start", ANY).ok()?.unwrap_or(Value::Number(0));
        let len = self.number_option(node, "len", ANY).ok()?.unwrap_or(Value::Number(0));
        let ofd = self.report.flag(node, "ofd");
        Some(if node.word.name == "fcntl-lock" {
            Op::FcntlLock { wait: self.report.flag(node, "wait"), fd: fd?, kind: kind?, start, len, ofd }
        } else {
            Op::FcntlGetlk { into: self.assigned_option(node, "into").ok()?, fd: fd?, kind: kind?, start, len, ofd }
        })
    }
}
