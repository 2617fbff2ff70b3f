//! Ctrl-C and SIGTERM: how a run is asked to end, ever more urgently, without losing what it has measured.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Exit code of a run that was interrupted.
const INTERRUPTED: u8 = 130;

static ASKED: AtomicUsize = AtomicUsize::new(0);
static HELD: AtomicBool = AtomicBool::new(false);

/// From here on the first signal asks for an end after the current sample, the second gives that sample up, and the third
/// ends at once, unless [`hold`] is in force.
pub fn catch() {
    #[cfg(unix)]
    {
        extern "C" fn on_signal(_: libc::c_int) {
            if ASKED.fetch_add(1, Ordering::SeqCst) >= 2 && !HELD.load(Ordering::SeqCst) {
                // SAFETY: _exit is async-signal-safe.
                unsafe { libc::_exit(INTERRUPTED.into()) };
            }
        }
        let handler = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
        // SAFETY: the handler only touches atomics and calls _exit.
        unsafe {
            libc::signal(libc::SIGINT, handler);
            libc::signal(libc::SIGTERM, handler);
        }
    }
}

/// Whether an end was asked for.
pub fn is_asked() -> bool {
    ASKED.load(Ordering::SeqCst) >= 1
}

/// Whether it was asked for again: what is being measured just now is to be given up.
pub fn is_urgent() -> bool {
    ASKED.load(Ordering::SeqCst) >= 2
}

/// What an interrupted run exits with.
pub fn exit_code() -> ExitCode {
    ExitCode::from(INTERRUPTED)
}

/// While it lives, no signal ends the program: it is writing what was measured, which takes a moment.
pub struct Hold(());

/// Begins such a moment; one at a time.
pub fn hold() -> Hold {
    HELD.store(true, Ordering::SeqCst);
    Hold(())
}

impl Drop for Hold {
    fn drop(&mut self) {
        HELD.store(false, Ordering::SeqCst);
    }
}

/// A file that grows beyond the user's limit (`ulimit -f`) is an error to tell of, as a full disk is, not a sudden end.
pub fn survive_file_limits() {
    #[cfg(unix)]
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}
