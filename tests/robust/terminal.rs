//! The browser of `scalemark show` in a pseudo-terminal: drawn, used, left, and the terminal as it was.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const RUN: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/results/runs/20261129T050918Z-epyc-zen4-f92f0da0ea");
const ENTER_SCREEN: &str = "\x1b[?1049h";
const LEAVE_SCREEN: &str = "\x1b[?1049l";
const SHOW_CURSOR: &str = "\x1b[?25h";

fn size(columns: u16, rows: u16) -> libc::winsize {
    libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// A command in a terminal of its own.
struct Program {
    keyboard: File,
    /// Our own handle on the side that the program has, to ask for the terminal's state.
    terminal: OwnedFd,
    before: (u32, u32, u32),
    child: Child,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Program {
    fn start(args: &[&str], environment: &[(&str, &str)]) -> Program {
        let (mut ours, mut theirs) = (-1, -1);
        let window = size(100, 30);
        let (no_name, no_settings) = (std::ptr::null_mut(), std::ptr::null());
        // SAFETY: both numbers are ours to write; a name and settings are not asked for, and the size is only read.
        let rc = unsafe { libc::openpty(&mut ours, &mut theirs, no_name, no_settings, &window) };
        assert_eq!(rc, 0, "no pseudo-terminal");
        // SAFETY: openpty has just made both, and nobody else owns them.
        let (mut screen, terminal) =
            unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        // A program that held its own screen would not notice that nobody looks any more.
        // SAFETY: the handle is open; a flag of it is set.
        let rc = unsafe { libc::fcntl(screen.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
        assert_eq!(rc, 0);
        let side = || Stdio::from(terminal.try_clone().unwrap());
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("scalemark"));
        command.arg("show").args(args).stdin(side()).stdout(side()).stderr(side());
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        command.envs(environment.iter().copied());
        // SAFETY: between fork and exec it only makes system calls, which are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let before = state(&terminal);
        let keyboard = screen.try_clone().unwrap();
        let child = command.spawn().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let reader = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                reader.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Program { keyboard, terminal, before, child, seen }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// The words of what is drawn, all of it anew, once they have all of these: what changed since the last frame is all that is written else.
    fn redrawn(&mut self, parts: &[&str]) -> String {
        let start = Instant::now();
        for columns in (101..140).cycle() {
            self.seen.lock().unwrap().clear();
            // SAFETY: the handle is open, and the size is only read.
            let rc = unsafe {
                libc::ioctl(self.keyboard.as_raw_fd(), libc::TIOCSWINSZ, &size(columns, 30))
            };
            assert_eq!(rc, 0);
            let drawn = Instant::now();
            while drawn.elapsed() < Duration::from_millis(500) {
                let text = words(&self.text());
                if parts.iter().all(|part| text.contains(part)) {
                    return text;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            let text = words(&self.text());
            let missing = parts.iter().find(|part| !text.contains(**part));
            assert!(start.elapsed() < Duration::from_secs(60), "{missing:?} of {text:?}");
        }
        unreachable!("it is tried again and again")
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// Waits until all of these were written.
    fn await_all(&self, parts: &[&str]) -> String {
        let start = Instant::now();
        loop {
            let text = self.text();
            let missing = parts.iter().find(|part| !text.contains(**part));
            let Some(missing) = missing else { return text };
            assert!(start.elapsed() < Duration::from_secs(60), "{missing:?} is not in {text:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The exit code, once it has ended, with all that it wrote; the terminal must be as it was.
    fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let text = self.await_all(&[]);
        assert_eq!(state(&self.terminal), self.before, "the terminal is not as it was");
        (status.code(), text)
    }
}

/// The words since the screen was last cleared, one space apart: what is blank is passed over by moving the cursor.
fn words(text: &str) -> String {
    let mut shown = String::new();
    for (i, part) in text.rsplit("\x1b[2J").next().unwrap().split("\x1b[").enumerate() {
        // A sequence ends with its first letter.
        let end =
            if i == 0 { 0 } else { part.find(char::is_alphabetic).map_or(part.len(), |at| at + 1) };
        if part[..end].ends_with('H') {
            shown.push(' ');
        }
        shown.push_str(&part[end..]);
    }
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Drop for Program {
    /// A test that fails leaves nothing running.
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How the terminal treats keys and lines.
fn state(terminal: &OwnedFd) -> (u32, u32, u32) {
    // SAFETY: settings of zeros are a valid value, and the call fills them.
    let (rc, settings) = unsafe {
        let mut settings: libc::termios = std::mem::zeroed();
        (libc::tcgetattr(terminal.as_raw_fd(), &mut settings), settings)
    };
    assert_eq!(rc, 0);
    (settings.c_iflag, settings.c_oflag, settings.c_lflag)
}

#[test]
fn the_browser_draws_filters_leaves_with_code_0_and_gives_the_terminal_back() {
    let mut program = Program::start(&[RUN], &[]);
    program.await_all(&[ENTER_SCREEN, "matmul/simd", "1 of 81", "? keys"]);
    assert_eq!(state(&program.terminal).2 & libc::ICANON, 0, "keys come one by one");
    program.press("/OPTIMIZER");
    let text = program.redrawn(&["/OPTIMIZER▏", "optimizer/simd", "found in 81", "Esc drops it"]);
    assert!(!text.contains("matmul/"), "{text:?}");
    program.press("\r\r");
    program.redrawn(&["source hash", "optimizer/simd (own)"]);
    program.press("q");
    program.await_all(&[LEAVE_SCREEN, SHOW_CURSOR]);
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn ctrl_z_comes_back_ctrl_c_leaves_with_code_0_and_a_signal_to_end_with_130() {
    let mut program = Program::start(&[RUN, "--sort", "share"], &[("NO_COLOR", "1")]);
    program.await_all(&["by share"]);
    // No shell is there to say fg, so that the system does not stop it: it goes on at once.
    program.press("\x1a");
    let again = format!("{SHOW_CURSOR}{ENTER_SCREEN}");
    program.await_all(&[LEAVE_SCREEN, &again]);
    program.seen.lock().unwrap().clear();
    program.press("?");
    program.redrawn(&["Ctrl-F,", "Ctrl-Z"]);
    program.press("\x03");
    let text = program.await_all(&[LEAVE_SCREEN, SHOW_CURSOR]);
    let coloured =
        |text: &str| ["\x1b[38;5;", "\x1b[31m", "\x1b[36m"].iter().any(|c| text.contains(c));
    assert!(!coloured(&text), "{text:?}");
    assert_eq!(program.end().0, Some(0));

    let program = Program::start(&[RUN], &[]);
    program.await_all(&["1 of 81"]);
    let id = program.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    program.await_all(&[LEAVE_SCREEN, SHOW_CURSOR]);
    assert_eq!(program.end().0, Some(130));
}

#[test]
fn a_dumb_terminal_and_options_that_ask_for_print_get_a_table_without_escape_sequences() {
    let cases: [(&str, &[&str]); 4] = [
        ("dumb", &[RUN]),
        ("xterm", &[RUN, "--print"]),
        ("xterm", &[RUN, "--record", "9"]),
        ("xterm", &[RUN, "--top", "3", "--sort", "rate"]),
    ];
    for (term, args) in cases {
        let program = Program::start(args, &[("TERM", term)]);
        let last = if args.contains(&"--record") { "source hash" } else { "records of" };
        program.await_all(&[last]);
        let (code, text) = program.end();
        assert_eq!(code, Some(0), "{text}");
        assert!(!text.contains('\x1b'), "{args:?} {text:?}");
    }
}

#[test]
fn samples_that_cannot_be_read_end_the_browser_with_one_error_and_the_terminal_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(RUN).unwrap().flatten().filter(|file| file.path().is_file()) {
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    std::fs::write(folder.path().join("samples.csv.gz"), "no gzip").unwrap();
    let program = Program::start(&[folder.path().to_str().unwrap()], &[]);
    let text = program.await_all(&["error: "]);
    let (left, said) = (text.find(LEAVE_SCREEN).unwrap(), text.find("error: ").unwrap());
    assert!(left < said, "said where nobody sees it: {text:?}");
    assert_eq!(program.end().0, Some(2));
}
