//! The clocks that a measurement reads, behind a trait so that tests can turn the hands.

use std::fs::File;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a sample is timed with: nanoseconds that only ever grow.
pub trait Clock {
    /// Time since some fixed moment.
    fn now(&self) -> u64;

    /// Processor time of the calling thread.
    fn thread_cpu(&self) -> u64;

    /// Processor time of all threads of this process, those that have ended included.
    fn process_cpu(&self) -> u64;

    /// How long the threads of this process were ready to run but waited for a CPU, added up; `None` where the system does
    /// not tell. Growth within a sample says that other processes disturbed it.
    fn run_queue(&self) -> Option<u64>;
}

/// The operating system's clocks.
#[derive(Debug, Default)]
pub struct SystemClock {
    queues: Mutex<Queues>,
}

impl SystemClock {
    /// A clock of this process; opens nothing before it is asked.
    pub fn new() -> Self {
        SystemClock::default()
    }
}

#[cfg(unix)]
fn clock_ns(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer. An unknown clock would leave it zero.
    unsafe { libc::clock_gettime(id, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

impl Clock for SystemClock {
    #[cfg(unix)]
    fn now(&self) -> u64 {
        clock_ns(libc::CLOCK_MONOTONIC)
    }

    #[cfg(unix)]
    fn thread_cpu(&self) -> u64 {
        clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
    }

    #[cfg(unix)]
    fn process_cpu(&self) -> u64 {
        clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
    }

    #[cfg(not(unix))]
    fn now(&self) -> u64 {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        START.get_or_init(std::time::Instant::now).elapsed().as_nanos() as u64
    }

    #[cfg(not(unix))]
    fn thread_cpu(&self) -> u64 {
        self.now()
    }

    #[cfg(not(unix))]
    fn process_cpu(&self) -> u64 {
        self.now()
    }

    fn run_queue(&self) -> Option<u64> {
        self.queues.lock().unwrap_or_else(|e| e.into_inner()).read()
    }
}

/// One thread's open `schedstat` with the last value read from it.
#[derive(Debug)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
struct Queue {
    thread: u32,
    file: File,
    waited: u64,
}

/// The waiting times of all threads, through files that stay open: one read a thread, and one `fstat` to notice that
/// threads have come or gone.
#[derive(Debug, Default)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
struct Queues {
    folder: Option<File>,
    queues: Vec<Queue>,
    /// The number of threads when the files were opened.
    threads: u64,
    /// What threads had waited that have ended since, so that the sum never falls.
    ended: u64,
}

#[cfg(target_os = "linux")]
impl Queues {
    fn read(&mut self) -> Option<u64> {
        if self.folder.is_none() {
            self.folder = Some(File::open("/proc/self/task").ok()?);
        }
        let mut changed = self.thread_count()? != self.threads || self.queues.is_empty();
        for queue in &mut self.queues {
            match waited(&queue.file) {
                Some(waited) => queue.waited = waited,
                None => changed = true,
            }
        }
        if changed {
            self.open_all()?;
        }
        Some(self.ended + self.queues.iter().map(|q| q.waited).sum::<u64>())
    }

    /// The links of a process's task folder are its threads and two.
    fn thread_count(&self) -> Option<u64> {
        use std::os::unix::fs::MetadataExt;
        Some(self.folder.as_ref()?.metadata().ok()?.nlink())
    }

    /// Opens the files of threads that are new, and drops those of threads that have ended.
    fn open_all(&mut self) -> Option<()> {
        self.threads = self.thread_count()?;
        let mut old = std::mem::take(&mut self.queues);
        for entry in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
            let Some(thread) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
                continue;
            };
            let known = old.iter().position(|q| q.thread == thread).map(|i| old.swap_remove(i));
            // A number may be given to a new thread: the old file then reads as gone.
            if let Some(queue) = known {
                if let Some(waited) = waited(&queue.file) {
                    self.queues.push(Queue { waited, ..queue });
                    continue;
                }
                self.ended += queue.waited;
            }
            let Ok(file) = File::open(entry.path().join("schedstat")) else { continue };
            if let Some(waited) = waited(&file) {
                self.queues.push(Queue { thread, file, waited });
            }
        }
        self.ended += old.iter().map(|q| q.waited).sum::<u64>();
        (!self.queues.is_empty()).then_some(())
    }
}

#[cfg(not(target_os = "linux"))]
impl Queues {
    fn read(&mut self) -> Option<u64> {
        None
    }
}

/// Field 2 of a `schedstat`: nanoseconds spent waiting on a run queue.
#[cfg(target_os = "linux")]
fn waited(file: &File) -> Option<u64> {
    use std::os::unix::fs::FileExt;
    let mut buffer = [0u8; 96];
    let len = file.read_at(&mut buffer, 0).ok()?;
    parse_waited(buffer.get(..len)?)
}

/// `871065 54721 2`: time on a CPU, time waiting for one, turns.
#[cfg(any(target_os = "linux", test))]
fn parse_waited(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.split_whitespace().nth(1)?.parse().ok()
}

/// What is done to a [`FakeClock`] at each reading of its time.
type Tick = Box<dyn FnMut() -> u64 + Send>;

/// A clock that stands still until a test moves it, by hand or at every reading.
#[derive(Default)]
pub struct FakeClock {
    now: AtomicU64,
    cpu: AtomicU64,
    queue: AtomicU64,
    tick: Mutex<Option<Tick>>,
}

impl FakeClock {
    /// A clock at zero that stands still.
    pub fn new() -> Self {
        FakeClock::default()
    }

    /// A clock that moves on by what `tick` returns, in nanoseconds, before each reading of [`Clock::now`].
    pub fn ticking(tick: impl FnMut() -> u64 + Send + 'static) -> Self {
        FakeClock { tick: Mutex::new(Some(Box::new(tick))), ..FakeClock::default() }
    }

    /// Lets time pass in which the thread works.
    pub fn advance(&self, ns: u64) {
        self.now.fetch_add(ns, Relaxed);
        self.cpu.fetch_add(ns, Relaxed);
    }

    /// Lets time pass in which the thread waits for a CPU.
    pub fn wait_for_cpu(&self, ns: u64) {
        self.now.fetch_add(ns, Relaxed);
        self.queue.fetch_add(ns, Relaxed);
    }

    /// Lets time pass in which the thread sleeps.
    pub fn sleep(&self, ns: u64) {
        self.now.fetch_add(ns, Relaxed);
    }
}

impl std::fmt::Debug for FakeClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeClock")
            .field("now", &self.now)
            .field("cpu", &self.cpu)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> u64 {
        let mut tick = self.tick.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(tick) = tick.as_mut() {
            self.advance(tick());
        }
        self.now.load(Relaxed)
    }

    fn thread_cpu(&self) -> u64 {
        self.cpu.load(Relaxed)
    }

    fn process_cpu(&self) -> u64 {
        self.cpu.load(Relaxed)
    }

    fn run_queue(&self) -> Option<u64> {
        Some(self.queue.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Work that the compiler cannot remove.
    fn spin() {
        for i in 0..2_000_000u64 {
            std::hint::black_box(i);
        }
    }

    #[test]
    fn clocks_only_grow_and_work_takes_processor_time() {
        let clock = SystemClock::new();
        let before = (clock.now(), clock.thread_cpu(), clock.process_cpu());
        spin();
        let after = (clock.now(), clock.thread_cpu(), clock.process_cpu());
        assert!(after.0 > before.0 && after.1 > before.1 && after.2 > before.2);
        assert!(after.2 >= after.1, "a process has at least the time of its thread");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn waiting_time_never_falls_while_threads_come_and_go() {
        let clock = SystemClock::new();
        let mut last = clock.run_queue().expect("Linux tells how long threads waited");
        for round in 0..4 {
            let stop = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        spin();
                        stop.wait();
                    });
                }
                for _ in 0..3 {
                    let now = clock.run_queue().unwrap();
                    assert!(now >= last, "round {round}: {now} after {last}");
                    last = now;
                }
                stop.wait();
            });
        }
        assert!(clock.run_queue().unwrap() >= last);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn threads_that_share_one_cpu_wait_for_it() {
        use crate::device::pool::affinity;
        let clock = SystemClock::new();
        let cpu = affinity::allowed()[0];
        let before = clock.run_queue().unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        // Two threads that never sleep on one CPU: at any moment one of them waits.
        let after = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    affinity::pin(cpu);
                    while !stop.load(Relaxed) {
                        spin();
                    }
                });
            }
            let mut after = clock.run_queue().unwrap();
            for _ in 0..500 {
                if after > before {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
                after = clock.run_queue().unwrap();
            }
            stop.store(true, Relaxed);
            after
        });
        assert!(after > before, "{after} after {before}");
    }

    #[test]
    fn broken_statistics_are_no_time() {
        assert_eq!(parse_waited(b"871065 54721 2\n"), Some(54721));
        for broken in [&b""[..], b"12", b"12 x 3", b"\xff\xff 1 2"] {
            assert_eq!(parse_waited(broken), None);
        }
    }

    #[test]
    fn a_fake_clock_moves_only_when_it_is_moved() {
        let clock = FakeClock::new();
        assert_eq!((clock.now(), clock.now()), (0, 0));
        clock.advance(100);
        clock.wait_for_cpu(10);
        clock.sleep(1);
        assert_eq!((clock.now(), clock.thread_cpu(), clock.run_queue()), (111, 100, Some(10)));
    }

    #[test]
    fn a_ticking_clock_moves_at_every_reading() {
        let mut step = 0;
        let clock = FakeClock::ticking(move || {
            step += 1;
            step
        });
        assert_eq!([clock.now(), clock.now(), clock.now()], [1, 3, 6]);
        assert_eq!(clock.process_cpu(), 6);
    }
}
