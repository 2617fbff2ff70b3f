//! A persistent pool of pinned threads with a fork and join of about a hundred nanoseconds.
//!
//! Workers spin for a while for the next job and then sleep, so that a busy sequence of launches pays no wake-up and an
//! idle pool disturbs nobody. [`Pool::by_rayon`] runs the same jobs on rayon's threads, to be measured beside it
//! (`cargo bench -- threads`): results/threads.md says at which sizes which was faster.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

/// Rounds of `spin_loop` before a waiting worker sleeps: some 100 µs, longer than any gap between launches of a sample.
const SPINS: u32 = 20_000;

/// A job as a thin call: the closure's address and a function that runs it for a thread number.
#[derive(Clone, Copy)]
struct Job {
    data: *const (),
    call: unsafe fn(*const (), usize),
}

struct Shared {
    job: UnsafeCell<Job>,
    epoch: AtomicUsize,
    running: AtomicUsize,
    asleep: AtomicUsize,
    panicked: AtomicBool,
    stop: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

// SAFETY: `job` is written by the owner only while no worker runs (`running == 0`), and published by the release store of
// `epoch`, which workers acquire before they read it.
unsafe impl Sync for Shared {}
// SAFETY: the pointers in `job` are used only while `Pool::run` keeps what they point to alive.
unsafe impl Send for Shared {}

/// A fixed number of threads, the caller's among them, that run one closure together.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Runs the jobs in place of `workers`.
    rayon: Option<rayon::ThreadPool>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

impl Pool {
    /// A pool of `threads` threads that the system may move about.
    pub fn new(threads: usize) -> Self {
        Pool::on(threads, &[])
    }

    /// A pool of `threads` threads, each pinned: the caller to the first allowed CPU, the others to the next ones.
    pub fn pinned(threads: usize) -> Self {
        let cpus = affinity::allowed();
        if let Some(&first) = cpus.first() {
            affinity::pin(first);
        }
        Pool::on(threads, &cpus)
    }

    fn on(threads: usize, cpus: &[usize]) -> Self {
        let cpu = |t: usize| cpus.get(t).copied();
        let nothing = Job { data: std::ptr::null(), call: |_, _| {} };
        let shared = Arc::new(Shared {
            job: UnsafeCell::new(nothing),
            epoch: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            asleep: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        });
        let workers = (1..threads.max(1))
            .map(|t| {
                let (shared, cpu) = (Arc::clone(&shared), cpu(t));
                std::thread::Builder::new()
                    .name(format!("pool-{t}"))
                    .spawn(move || {
                        if let Some(cpu) = cpu {
                            affinity::pin(cpu);
                        }
                        work(&shared, t);
                    })
                    .expect("the system can start a thread")
            })
            .collect();
        Pool { shared, workers, rayon: None }
    }

    /// A pool that runs its jobs on rayon's threads, pinned as in [`Pool::pinned`], the caller's among them: what a kernel
    /// would cost with that library in place of this one.
    ///
    /// # Errors
    /// When the calling thread is already one of another rayon pool, or the system starts no thread.
    pub fn by_rayon(threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let cpus = affinity::allowed();
        if let Some(&first) = cpus.first() {
            affinity::pin(first);
        }
        let pin = move |thread: usize| {
            if let Some(&cpu) = cpus.get(thread) {
                affinity::pin(cpu);
            }
        };
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1));
        let rayon = builder.use_current_thread().start_handler(pin).build()?;
        let mut pool = Pool::on(1, &[]);
        pool.rayon = Some(rayon);
        Ok(pool)
    }

    /// The number of threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.rayon.as_ref().map_or(self.workers.len() + 1, rayon::ThreadPool::current_num_threads)
    }

    /// Runs `f(0) … f(threads − 1)`, each on its own thread (`f(0)` on the caller's), and waits for all.
    ///
    /// Must be called from one thread at a time and not from inside `f`. Panics when any of the calls did.
    pub fn run<F: Fn(usize) + Sync>(&self, f: F) {
        if let Some(rayon) = &self.rayon {
            rayon.broadcast(|thread| f(thread.index()));
            return;
        }
        if self.workers.is_empty() {
            return f(0);
        }
        unsafe fn call<F: Fn(usize)>(data: *const (), thread: usize) {
            // SAFETY: `data` is the address of the `F` that `run` keeps alive until every worker is done.
            unsafe { (*data.cast::<F>())(thread) }
        }
        let shared = &*self.shared;
        let job = Job { data: (&raw const f).cast(), call: call::<F> };
        assert_eq!(
            shared.running.swap(self.workers.len(), AcqRel),
            0,
            "a pool runs one job at a time"
        );
        // SAFETY: no worker reads the job before the epoch moves on (see `Shared`).
        unsafe { *shared.job.get() = job };
        shared.epoch.fetch_add(1, SeqCst);
        if shared.asleep.load(SeqCst) > 0 {
            let _guard = shared.lock.lock();
            shared.wake.notify_all();
        }
        /// Keeps `f` alive until the workers are done, even when `f(0)` panics.
        struct Join<'a>(&'a Shared);
        impl Drop for Join<'_> {
            fn drop(&mut self) {
                let mut spins = 0u32;
                while self.0.running.load(Acquire) != 0 {
                    spins += 1;
                    // On a machine with fewer processors than threads, a spinning caller would starve the worker.
                    if spins.is_multiple_of(1 << 14) {
                        std::thread::yield_now()
                    } else {
                        std::hint::spin_loop()
                    }
                }
            }
        }
        let join = Join(shared);
        f(0);
        drop(join);
        assert!(!shared.panicked.swap(false, Relaxed), "a pool thread panicked");
    }

    /// Runs `f(item)` for `0..items`, handed out one by one: for work of uneven size.
    pub fn for_each<F: Fn(usize) + Sync>(&self, items: usize, f: F) {
        if self.threads() == 1 || items <= 1 {
            return (0..items).for_each(f);
        }
        let next = AtomicUsize::new(0);
        self.run(|_| {
            loop {
                let item = next.fetch_add(1, Relaxed);
                if item >= items {
                    break;
                }
                f(item);
            }
        });
    }

    /// The contiguous part of `0..items` that `thread` of `threads` gets, in multiples of `grain` but for the last.
    pub fn share(
        items: usize,
        grain: usize,
        thread: usize,
        threads: usize,
    ) -> std::ops::Range<usize> {
        let grains = items.div_ceil(grain.max(1));
        let bound = |t: usize| (grains * t / threads * grain.max(1)).min(items);
        bound(thread)..bound(thread + 1)
    }
}

fn work(shared: &Shared, thread: usize) {
    let mut seen = 0;
    loop {
        let mut spins = 0;
        while shared.epoch.load(Acquire) == seen {
            if shared.stop.load(Relaxed) {
                return;
            }
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
                continue;
            }
            shared.asleep.fetch_add(1, SeqCst);
            let mut guard = shared.lock.lock().unwrap_or_else(|e| e.into_inner());
            while shared.epoch.load(SeqCst) == seen && !shared.stop.load(Relaxed) {
                guard = shared.wake.wait(guard).unwrap_or_else(|e| e.into_inner());
            }
            drop(guard);
            shared.asleep.fetch_sub(1, SeqCst);
        }
        seen = seen.wrapping_add(1);
        // SAFETY: the epoch was acquired, so the job is complete, and the owner changes it only after `running` is 0.
        let job = unsafe { *shared.job.get() };
        // SAFETY: the owner keeps the closure alive until `running` is 0.
        let outcome = std::panic::catch_unwind(|| unsafe { (job.call)(job.data, thread) });
        if outcome.is_err() {
            shared.panicked.store(true, Relaxed);
        }
        shared.running.fetch_sub(1, Release);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        {
            let _guard = self.shared.lock.lock();
            self.shared.wake.notify_all();
        }
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// Pinning of threads to processors.
pub mod affinity {
    /// The CPUs that this process was started on, in order; read once, before the first thread is pinned.
    pub fn allowed() -> Vec<usize> {
        static CPUS: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();
        CPUS.get_or_init(read).clone()
    }

    #[cfg(target_os = "linux")]
    fn read() -> Vec<usize> {
        // SAFETY: a `cpu_set_t` of zero bits is a valid value, and the call fills at most its size.
        let (set, rc) = unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            let rc = libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
            (set, rc)
        };
        if rc != 0 {
            return Vec::new();
        }
        // SAFETY: every index is below the set's size.
        (0..libc::CPU_SETSIZE as usize)
            .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) })
            .collect()
    }

    #[cfg(not(target_os = "linux"))]
    fn read() -> Vec<usize> {
        Vec::new()
    }

    /// Pins the calling thread to `cpu`; says whether that worked.
    pub fn pin(cpu: usize) -> bool {
        #[cfg(target_os = "linux")]
        {
            if cpu >= libc::CPU_SETSIZE as usize {
                return false;
            }
            // SAFETY: the set is a valid value, the index is in range, and 0 means the calling thread.
            unsafe {
                let mut set: libc::cpu_set_t = std::mem::zeroed();
                libc::CPU_SET(cpu, &mut set);
                libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) == 0
            }
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = cpu;
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn every_thread_runs_each_job_once() {
        let pool = Pool::new(3);
        let sum = AtomicU64::new(0);
        for _ in 0..1000 {
            pool.run(|t| {
                sum.fetch_add(1 << (8 * t), Relaxed);
            });
            assert_eq!(sum.swap(0, Relaxed), 0x010101);
        }
    }

    #[test]
    fn rayon_runs_each_job_once_a_thread_too() {
        std::thread::spawn(|| {
            let pool = Pool::by_rayon(3).expect("this thread is in no other pool");
            assert_eq!(pool.threads(), 3);
            let sum = AtomicU64::new(0);
            for _ in 0..100 {
                pool.run(|t| {
                    sum.fetch_add(1 << (8 * t), Relaxed);
                });
                assert_eq!(sum.swap(0, Relaxed), 0x010101);
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_pool_that_fell_asleep_wakes_up() {
        let pool = Pool::new(2);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let done = AtomicUsize::new(0);
            pool.run(|_| {
                done.fetch_add(1, Relaxed);
            });
            assert_eq!(done.into_inner(), 2);
        }
    }

    #[test]
    fn a_panic_in_a_pool_thread_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2);
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(|t| assert_eq!(t, 0))
        }));
        std::panic::set_hook(hook);
        assert!(caught.is_err());
        pool.run(|_| {});
    }

    #[test]
    fn shares_cover_everything_once_in_whole_grains() {
        for (items, grain, threads) in [(0, 4, 2), (1, 4, 3), (17, 4, 3), (100, 7, 2), (64, 64, 5)]
        {
            let mut next = 0;
            for t in 0..threads {
                let share = Pool::share(items, grain, t, threads);
                assert_eq!(share.start, next);
                next = share.end;
                assert!(next == items || next % grain == 0);
            }
            assert_eq!(next, items);
        }
    }
}
