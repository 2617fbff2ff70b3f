//! What is told of a worker that died: how, and what it said last.

use std::collections::VecDeque;
use std::io::{BufReader, Read};
use std::sync::Mutex;

use super::lines::{Line, Lines};

/// Reads standard error to its end, and keeps the last four lines that say something.
pub(super) fn keep_last_lines(stderr: impl Read, kept: &Mutex<VecDeque<String>>) {
    for line in Lines::of(BufReader::new(stderr), 4096) {
        let (Line::Whole(line) | Line::Cut(line)) = line;
        let line: String = line.trim().chars().take(300).collect();
        // Noise of the runtime that says nothing about the cause.
        if line.is_empty() || line.starts_with("note: run with `RUST_BACKTRACE") {
            continue;
        }
        let mut kept = kept.lock().unwrap_or_else(|e| e.into_inner());
        if kept.len() == 4 {
            kept.pop_front();
        }
        kept.push_back(line);
    }
}

/// `died of signal 11 (segmentation fault)`, `ended with exit code 3`, …
pub fn how_it_ended(status: &std::process::ExitStatus) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        if let Some(signal) = status.signal() {
            let name = match signal {
                libc::SIGSEGV => " (segmentation fault)",
                libc::SIGABRT => " (abort)",
                libc::SIGILL => " (illegal instruction)",
                libc::SIGBUS => " (bus error)",
                libc::SIGFPE => " (arithmetic fault)",
                libc::SIGKILL => " (killed; out of memory?)",
                _ => "",
            };
            return format!("died of signal {signal}{name}");
        }
    }
    match status.code() {
        Some(0) => "ended without a reply".to_owned(),
        Some(code) => format!("ended with exit code {code}"),
        None => "ended".to_owned(),
    }
}
