//! Where two pinned threads are, found out by measuring in about 2 ms.
//!
//! A hypervisor may move virtual processors between the threads of a core, the cores of a chiplet and chiplets, and what
//! it reports about them is fixed at start. Two quick experiments tell: how long a cache line takes to go to the other
//! thread and back, and whether arithmetic of the one slows down that of the other.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::pool::affinity;

/// Where the threads of a measurement are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Placement {
    /// One thread, so that there is nothing to tell apart.
    #[serde(rename = "one-core")]
    OneThread,
    /// Two cores that share a last-level cache.
    #[serde(rename = "same-chiplet")]
    SameChiplet,
    /// Two cores with a last-level cache each.
    #[serde(rename = "two-chiplets")]
    TwoChiplets,
    /// Two hardware threads of one core.
    #[serde(rename = "one-core-smt")]
    SharedCore,
    /// The probe could not tell.
    #[serde(rename = "unknown")]
    Unknown,
}

impl Placement {
    /// `one-core`, `same-chiplet`, `two-chiplets`, `one-core-smt` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Placement::OneThread => "one-core",
            Placement::SameChiplet => "same-chiplet",
            Placement::TwoChiplets => "two-chiplets",
            Placement::SharedCore => "one-core-smt",
            Placement::Unknown => "unknown",
        }
    }
}

/// What the probe read off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The least time that a cache line took to the other thread and back.
    pub round_trip_ns: Option<f64>,
    /// The throughput of both threads together over that of one alone: 2 for two cores, 1 for one.
    pub scaling: Option<f64>,
    /// What follows from these.
    pub placement: Placement,
}

/// Round trips below this stay within a last-level cache: 41–68 ns were measured within a Zen 4 or 5 chiplet, 30 ns
/// within a core.
const WITHIN_NS: f64 = 160.0;
/// Round trips above this leave it: 258–460 ns were measured between two chiplets. What lies between, as between distant
/// cores of a mesh, is not told apart.
const BETWEEN_NS: f64 = 200.0;
/// No two cores of a machine are farther apart than this: what is longer was a thread that lost its CPU.
const FARTHEST_NS: f64 = 2000.0;
/// Two threads of one core reach 1.08 times the throughput of one, two cores 1.84 to 2.0 times, as measured on a Zen 4.
const SHARED_SCALING: f64 = 1.4;
/// Below this another process had one of the CPUs.
const LEAST_SCALING: f64 = 0.8;

/// Classifies two measurements; `Unknown` where one is missing, lies between the classes or can come from no core.
pub fn classify(round_trip_ns: Option<f64>, scaling: Option<f64>) -> Placement {
    let (Some(trip), Some(scaling)) = (round_trip_ns, scaling) else { return Placement::Unknown };
    let within = trip < WITHIN_NS;
    let between = (BETWEEN_NS..FARTHEST_NS).contains(&trip);
    match scaling {
        s if within && s >= SHARED_SCALING => Placement::SameChiplet,
        s if within && s >= LEAST_SCALING => Placement::SharedCore,
        // A slow-down between chiplets comes from other processes: no core is shared over such a distance.
        s if between && s >= LEAST_SCALING => Placement::TwoChiplets,
        _ => Placement::Unknown,
    }
}

/// Probes the first two of `cpus` with two threads of its own, pinned to them; the caller's pinning stays.
///
/// Takes 1–2 ms; gives up after 20 ms when other processes hold a CPU, with what it has by then. Everything is repeated
/// and the least time kept. With fewer than two CPUs the answer is [`Placement::OneThread`]; more than two are judged by
/// the first two.
pub fn probe(cpus: &[usize]) -> Reading {
    let unknown = Reading { round_trip_ns: None, scaling: None, placement: Placement::Unknown };
    let (first, second) = match cpus {
        [] | [_] => return Reading { placement: Placement::OneThread, ..unknown },
        [first, second, ..] if first == second => return unknown,
        [first, second, ..] => (*first, *second),
    };
    let meeting = Meeting::new();
    let (a, b) = std::thread::scope(|scope| {
        let side = |cpu, side| {
            let meeting = &meeting;
            std::thread::Builder::new()
                .name(format!("probe-{side}"))
                .spawn_scoped(scope, move || meeting.attend(cpu, side))
        };
        let (a, b) = (side(first, 0), side(second, 1));
        if a.is_err() || b.is_err() {
            meeting.give_up.0.store(true, Relaxed);
        }
        let join = |thread: std::io::Result<std::thread::ScopedJoinHandle<'_, Option<Times>>>| {
            thread.ok()?.join().ok()?
        };
        (join(a), join(b))
    });
    let (Some(a), Some(b)) = (a, b) else { return unknown };
    let round_trip_ns = Some(a.round_trip);
    let together = a.together.max(b.together);
    // A clock too coarse for the experiment reads zero.
    let scaling = (together > 0.0).then(|| (a.alone + b.alone) / together);
    Reading { round_trip_ns, scaling, placement: classify(round_trip_ns, scaling) }
}

/// Repetitions of each experiment, of which the least time counts.
const TRIES: u64 = 12;
/// Round trips of one try: some 20 µs between chiplets.
const TRIPS: u64 = 50;
/// Steps of each chain of multiplications: some 20 µs.
const STEPS: u32 = 8000;
/// After this the probe gives up: a thread waits for a CPU that another process holds.
const PATIENCE: Duration = Duration::from_millis(20);

/// The least times that one thread saw, in nanoseconds.
struct Times {
    round_trip: f64,
    alone: f64,
    together: f64,
}

/// An atomic on a pair of cache lines of its own, for processors fetch lines in pairs.
#[repr(align(128))]
struct Line<T>(T);

/// What the two threads share.
struct Meeting {
    ball: Line<AtomicU64>,
    arrived: Line<AtomicUsize>,
    give_up: Line<AtomicBool>,
    deadline: Instant,
}

impl Meeting {
    fn new() -> Self {
        Meeting {
            ball: Line(AtomicU64::new(0)),
            arrived: Line(AtomicUsize::new(0)),
            give_up: Line(AtomicBool::new(false)),
            deadline: Instant::now() + PATIENCE,
        }
    }

    /// Spins until `done`; `None` once the other side or the deadline has ended the meeting.
    fn wait(&self, mut done: impl FnMut() -> bool) -> Option<()> {
        let mut spins = 0u32;
        while !done() {
            spins += 1;
            // The clock and the flag are asked rarely, so that they do not lengthen a trip.
            if spins.is_multiple_of(4096)
                && (self.give_up.0.load(Relaxed) || Instant::now() > self.deadline)
            {
                self.give_up.0.store(true, Relaxed);
                return None;
            }
            spin_loop();
        }
        Some(())
    }

    /// Waits until both threads have come here for the `round`-th time, counted from 1.
    fn meet(&self, round: &mut usize) -> Option<()> {
        *round += 1;
        self.arrived.0.fetch_add(1, AcqRel);
        self.wait(|| self.arrived.0.load(Acquire) >= 2 * *round)
    }

    /// One thread's part in all experiments. `side` 0 serves the ball.
    fn attend(&self, cpu: usize, side: u64) -> Option<Times> {
        if !affinity::pin(cpu) {
            self.give_up.0.store(true, Relaxed);
            return None;
        }
        let mut times =
            Times { round_trip: f64::INFINITY, alone: f64::INFINITY, together: f64::INFINITY };
        let mut round = 0;
        for attempt in 0..TRIES {
            if self.attempt(attempt, side, &mut round, &mut times).is_none() {
                break;
            }
        }
        // What was measured before the patience ended is as good as the rest.
        times.together.is_finite().then_some(times)
    }

    /// Every experiment once; lowers the least times.
    fn attempt(&self, n: u64, side: u64, round: &mut usize, least: &mut Times) -> Option<()> {
        self.meet(round)?;
        least.round_trip = least.round_trip.min(self.play(side, n * 2 * TRIPS)?);
        // First one side alone, then the other, then both, so that a drifting clock meets all three alike.
        for turn in 0..2 {
            self.meet(round)?;
            if turn == side {
                least.alone = least.alone.min(multiply());
            }
        }
        self.meet(round)?;
        least.together = least.together.min(multiply());
        Some(())
    }

    /// Sends the ball to and fro, counting up from `start`; the time of one round trip in nanoseconds.
    fn play(&self, side: u64, start: u64) -> Option<f64> {
        let begin = Instant::now();
        for trip in 0..TRIPS {
            let mine = start + 2 * trip + side;
            self.wait(|| self.ball.0.load(Acquire) == mine)?;
            self.ball.0.store(mine + 1, Release);
        }
        if side == 0 {
            let last = start + 2 * TRIPS;
            self.wait(|| self.ball.0.load(Acquire) == last)?;
        }
        Some(begin.elapsed().as_nanos() as f64 / TRIPS as f64)
    }
}

/// Keeps a core's multiplier busy with eight independent chains, and says for how many nanoseconds.
///
/// One thread alone fills the unit: a product takes 3–5 cycles and a core starts one or two in each. So a second thread
/// of the same core halves the speed of both. The upper half of a product is what the compiler cannot make a vector of:
/// vectors of products would leave gaps for the other thread, and hide it.
fn multiply() -> f64 {
    let mut chains: [u64; 8] = black_box([3, 5, 7, 11, 13, 17, 19, 23]);
    let begin = Instant::now();
    for _ in 0..STEPS {
        for chain in &mut chains {
            *chain = ((u128::from(*chain) * u128::from(*chain)) >> 64) as u64 | 1 << 63;
        }
    }
    black_box(chains);
    begin.elapsed().as_nanos() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_pairs_are_told_apart() {
        for (trip, scaling, placement) in [
            (41.0, 1.99, Placement::SameChiplet),
            (61.0, 1.95, Placement::SameChiplet),
            (418.0, 2.0, Placement::TwoChiplets),
            (459.0, 1.1, Placement::TwoChiplets),
            (30.0, 1.08, Placement::SharedCore),
            (20.0, 1.02, Placement::SharedCore),
            (50.0, 0.3, Placement::Unknown),
            (70120.0, 0.01, Placement::Unknown),
            (70120.0, 2.0, Placement::Unknown),
            (50.0, f64::NAN, Placement::Unknown),
            (55.0, 1.0, Placement::SharedCore),
            (180.0, 2.0, Placement::Unknown),
            (258.0, 1.92, Placement::TwoChiplets),
            (f64::NAN, 2.0, Placement::Unknown),
        ] {
            assert_eq!(classify(Some(trip), Some(scaling)), placement, "{trip} ns, {scaling}");
        }
        assert_eq!(classify(None, Some(2.0)), Placement::Unknown);
        assert_eq!(classify(Some(50.0), None), Placement::Unknown);
    }

    #[test]
    fn one_cpu_needs_no_probe_and_a_pair_of_the_same_makes_no_sense() {
        assert_eq!(probe(&[]).placement, Placement::OneThread);
        assert_eq!(probe(&[0]).placement, Placement::OneThread);
        assert_eq!(probe(&[0, 0]).placement, Placement::Unknown);
    }

    #[test]
    fn a_cpu_that_cannot_be_had_ends_the_probe() {
        let reading = probe(&[0, 1 << 20]);
        assert_eq!(reading.placement, Placement::Unknown);
        assert_eq!(reading.round_trip_ns, None);
    }

    #[test]
    fn a_side_whose_partner_never_comes_gives_up() {
        let meeting = Meeting::new();
        let mut round = 0;
        assert_eq!(meeting.meet(&mut round), None);
        assert!(meeting.give_up.0.load(Relaxed));
    }

    #[test]
    fn the_probe_reads_what_it_classifies() {
        let cpus = affinity::allowed();
        let reading = probe(&cpus);
        if cpus.len() > 1 && reading.placement != Placement::Unknown {
            assert!(reading.round_trip_ns.unwrap() > 1.0);
            assert!(reading.scaling.unwrap() > 0.0);
        }
        assert_eq!(
            reading.placement,
            match cpus.len() {
                0 | 1 => Placement::OneThread,
                _ => classify(reading.round_trip_ns, reading.scaling),
            }
        );
    }

    #[test]
    fn placements_are_stored_by_name() {
        use Placement::*;
        for placement in [OneThread, SameChiplet, TwoChiplets, SharedCore, Unknown] {
            let json = serde_json::to_string(&placement).unwrap();
            assert_eq!(json, format!("{:?}", placement.name()));
        }
    }
}
