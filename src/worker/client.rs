//! The run's end of the protocol: starts a worker, talks to it, parks it, and notices when it dies or hangs.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::lines::{Line, Lines};
use super::obituary::{how_it_ended, keep_last_lines};
use super::protocol::{Hello, Reply, Request, VERSION};
use crate::error::{Error, Result};

/// The longest line that can be a reply, in bytes: thousands of samples.
const LONGEST_REPLY: usize = 4 << 20;

/// The variable by which an external program is told where to run.
const DEVICE_VARIABLE: &str = "SCALEMARK_DEVICE";

/// How a worker is started.
#[derive(Debug, Clone, PartialEq)]
pub struct Spawn {
    /// The program: this binary, another build of it, or an external one.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables added to its environment (how a library is driven).
    pub env: Vec<(String, String)>,
}

impl Spawn {
    /// A worker of `program`, a build of scalemark, that holds the kernels of `provider`.
    pub fn scalemark(program: PathBuf, provider: &str, env: Vec<(String, String)>) -> Self {
        let args = ["worker", "--protocol", &VERSION.to_string(), "--provider", provider];
        Spawn { program, args: args.iter().map(OsString::from).collect(), env }
    }

    /// An external program, told where its launches are to run: `cpu`, or a GPU as `cuda:0`.
    pub fn told(mut self, device: &str) -> Self {
        self.env.push((DEVICE_VARIABLE.into(), device.into()));
        self
    }

    /// The same on another device than the CPU.
    pub fn on(mut self, device: &str) -> Self {
        self.args.extend(["--device", device].map(OsString::from));
        self
    }
}

/// A live worker process. Dropping it ends the process.
#[derive(Debug)]
pub struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    replies: Receiver<Line>,
    complaints: Arc<Mutex<VecDeque<String>>>,
    hello: Hello,
    parked: bool,
    given_up: fn() -> bool,
}

impl Client {
    /// Starts a worker and waits for its greeting.
    ///
    /// # Errors
    /// When it cannot be started, greets in another protocol version, or not at all within 30 s.
    pub fn start(spawn: &Spawn) -> Result<Self> {
        let mut command = Command::new(&spawn.program);
        command.args(&spawn.args).envs(spawn.env.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        isolate(&mut command);
        let name = spawn.program.display();
        let mut child = command
            .spawn()
            .map_err(|e| Error::Worker(format!("failed to start the worker {name}: {e}")))?;
        // A worker that talks without being asked waits in its pipe, and fills no memory of the run's.
        let (sender, replies) = sync_channel(16);
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        std::thread::spawn(move || {
            for line in Lines::of(stdout, LONGEST_REPLY) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let complaints = Arc::new(Mutex::new(VecDeque::new()));
        let (stderr, kept) =
            (child.stderr.take().expect("stderr is piped"), Arc::clone(&complaints));
        std::thread::spawn(move || keep_last_lines(stderr, &kept));
        let stdin = child.stdin.take();
        let nobody = Hello {
            protocol: 0,
            program: name.to_string(),
            version: String::new(),
            provider: String::new(),
            kernels: Vec::new(),
            device: String::new(),
            libraries: Default::default(),
        };
        let (hello, parked, given_up) = (nobody, false, never as fn() -> bool);
        let mut client = Client { child, stdin, replies, complaints, hello, parked, given_up };
        match client.receive(Duration::from_secs(30))? {
            Reply::Hello(hello) if hello.protocol == VERSION => client.hello = hello,
            Reply::Hello(hello) => {
                return Err(Error::Worker(format!(
                    "the worker {name} speaks protocol {}, this build speaks {VERSION}; use builds of the same protocol",
                    hello.protocol
                )));
            }
            other => {
                return Err(Error::Worker(format!("the worker {name} greeted with {other:?}")));
            }
        }
        Ok(client)
    }

    /// A wait for a reply ends in an error when `given_up` becomes true; the worker is then killed.
    pub fn given_up_when(mut self, given_up: fn() -> bool) -> Self {
        self.given_up = given_up;
        self
    }

    /// Whether the process has not ended yet, be it parked or not.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What the worker said of itself.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Sends a request and waits for its reply, at most `limit`.
    ///
    /// # Errors
    /// When the worker dies, hangs past the limit or is given up (it is then killed), or says something that is no reply. The client is
    /// of no further use after an error.
    pub fn ask(&mut self, request: &Request, limit: Duration) -> Result<Reply> {
        self.resume();
        let mut line = serde_json::to_string(request).expect("a request has a JSON form");
        line.push('\n');
        let sent = self
            .stdin
            .as_mut()
            .map(|stdin| stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()));
        match sent {
            Some(Ok(())) => self.receive(limit),
            _ => Err(self.obituary()),
        }
    }

    fn receive(&mut self, limit: Duration) -> Result<Reply> {
        /// How often a wait looks whether it was given up: too seldom to disturb what is measured.
        const LOOK: Duration = Duration::from_millis(200);
        let start = Instant::now();
        let line = loop {
            let left = limit.saturating_sub(start.elapsed());
            match self.replies.recv_timeout(left.min(LOOK)) {
                Ok(Line::Whole(line)) => break line,
                Ok(Line::Cut(line)) => {
                    self.kill();
                    let shown: String = line.chars().take(200).collect();
                    let length = LONGEST_REPLY >> 20;
                    return Err(Error::Worker(format!(
                        "the worker said a line of more than {length} MiB, which is no reply, killed: {shown}"
                    )));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.obituary()),
                Err(RecvTimeoutError::Timeout) if (self.given_up)() => {
                    self.kill();
                    return Err(Error::Worker("given up by the user, killed".into()));
                }
                Err(RecvTimeoutError::Timeout) if left <= LOOK => {
                    self.kill();
                    let limit = limit.as_secs_f64();
                    return Err(Error::Worker(format!("hung: no reply within {limit} s, killed")));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        serde_json::from_str(&line).map_err(|e| {
            let shown: String = line.chars().take(200).collect();
            Error::Worker(format!("the worker said something that is no reply ({e}): {shown}"))
        })
    }

    /// Ends the process, and what it has started: an external program may be a script around another.
    fn kill(&mut self) {
        self.signal(Signal::Kill);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How the process ended, with the last lines that it wrote to standard error.
    fn obituary(&mut self) -> Error {
        self.stdin = None;
        let deadline = Instant::now() + Duration::from_secs(2);
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                _ if Instant::now() >= deadline => {
                    self.signal(Signal::Kill);
                    break self.child.wait().ok();
                }
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        // The reader of standard error needs a moment to take in what the process said last.
        std::thread::sleep(Duration::from_millis(20));
        let ended = status.map_or("ended".to_owned(), |s| how_it_ended(&s));
        let complaints = self.complaints.lock().unwrap_or_else(|e| e.into_inner());
        let last: Vec<&str> = complaints.iter().map(String::as_str).collect();
        let said = if last.is_empty() { String::new() } else { format!(": {}", last.join(" | ")) };
        Error::Worker(format!("the worker process {ended}{said}"))
    }

    /// Stops the process with a signal, so that spinning threads of a library do not disturb its rivals.
    pub fn park(&mut self) {
        if !self.parked {
            self.parked = self.signal(Signal::Stop);
        }
    }

    fn resume(&mut self) {
        if self.parked {
            self.signal(Signal::Continue);
            self.parked = false;
        }
    }

    #[cfg(unix)]
    fn signal(&self, signal: Signal) -> bool {
        let number = match signal {
            Signal::Stop => libc::SIGSTOP,
            Signal::Continue => libc::SIGCONT,
            Signal::Kill => libc::SIGKILL,
        };
        // SAFETY: sends a signal to the group that `isolate` made of a child that has not been waited for, so the group's id,
        // which is the child's, is still its own.
        unsafe { libc::kill(-(self.child.id() as libc::pid_t), number) == 0 }
    }

    #[cfg(not(unix))]
    fn signal(&self, _signal: Signal) -> bool {
        false
    }
}

#[derive(Clone, Copy)]
enum Signal {
    Stop,
    Continue,
    Kill,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.resume();
        // End of input ends a worker that is waiting; one that is not is killed.
        self.stdin = None;
        for _ in 0..20 {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.kill();
    }
}

fn never() -> bool {
    false
}

/// Keeps the user's Ctrl-C from the worker (the run ends it), and ends the worker when the run dies.
fn isolate(command: &mut Command) {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        command.process_group(0);
    }
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let run = std::process::id();
        // SAFETY: prctl and getppid are async-signal-safe, which is all that may be called between fork and exec.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                // A run that died before that call sends no signal any more.
                if libc::getppid() as u32 == run {
                    Ok(())
                } else {
                    Err(std::io::ErrorKind::NotFound.into())
                }
            });
        }
    }
    #[cfg(not(unix))]
    let _ = command;
}
