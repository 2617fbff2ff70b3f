//! Which scenes are simulated, in shards that can be done on any core and gone on with after an interruption.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use super::noise::Noise;
use super::{SPREADS, Scene, Tally, simulate};
use crate::error::{Error, Result};

/// Series of a shard.
pub const SHARD: u64 = 250;
/// The file of finished shards; gone once all are.
pub const SHARDS: &str = "simulation.shards.jsonl";
/// Slowdowns that power is simulated at.
pub const EFFECTS: [f64; 7] = [0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.10];
/// The kernels of which one is slower, by their place in [`SPREADS`]: 0.2, 0.5, 1, 2 and 3 % between processes.
pub const ALONE: [usize; 5] = [0, 2, 8, 5, 9];

/// Scenes, each with its number of series.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The scenes.
    pub scenes: Vec<(Scene, u64)>,
    /// Seed of everything.
    pub seed: u64,
}

/// A finished shard: a line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Shard {
    scene: Scene,
    seed: u64,
    shard: u64,
    tally: Tally,
}

impl Plan {
    /// Null series at ratio 1 and at the boundary, both with stopping and at the worst time to stop; and power against effect, of one slow kernel among
    /// ten and of all of them, with a tenth of the series each.
    pub fn new(series: u64, seed: u64) -> Self {
        let mut scenes = Vec::new();
        let tenth = series.div_ceil(10);
        for noise in Noise::ALL {
            let scene = Scene { noise, effect: 0.0, only: None, pairs: 32, to_the_end: false };
            for effect in [0.0, 0.005] {
                scenes.push((Scene { effect, ..scene }, series));
                scenes.push((Scene { effect, to_the_end: true, ..scene }, series));
            }
            for effect in EFFECTS {
                let whom = ALONE.map(Some).into_iter().chain([None]);
                scenes.extend(whom.map(|only| (Scene { effect, only, ..scene }, tenth)));
                let longer = |only| (Scene { effect, only, pairs: 64, ..scene }, tenth);
                scenes.extend([8, 5].map(Some).map(longer));
            }
        }
        Plan { scenes, seed }
    }

    fn shards(&self) -> Vec<(Scene, u64, u64)> {
        let of = |&(scene, series): &(Scene, u64)| {
            (0..series.div_ceil(SHARD))
                .map(move |shard| (scene, shard, SHARD.min(series - shard * SHARD)))
        };
        self.scenes.iter().flat_map(of).collect()
    }

    /// Simulates what is not yet in the file of shards below `folder`, on `threads` threads, and returns the counts of each scene in the
    /// plan's order; `None` if `interrupted` came true first (what is finished stays in the file).
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds what no simulation of this build wrote.
    pub fn run(
        &self,
        folder: &Path,
        threads: usize,
        interrupted: &(dyn Fn() -> bool + Sync),
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Option<Vec<Tally>>> {
        let path = folder.join(SHARDS);
        let mut done: HashMap<(String, u64), Tally> = read(&path)?
            .into_iter()
            .filter(|shard| shard.seed == self.seed)
            .map(|shard| ((key(&shard.scene), shard.shard), shard.tally))
            .collect();
        // A shard of another length belongs to a plan of other series.
        let shards = self.shards();
        let is_done = |scene: &Scene, shard: u64, series: u64| {
            done.get(&(key(scene), shard)).is_some_and(|tally| tally.series == series)
        };
        let todo: Vec<_> = shards.iter().filter(|(s, n, len)| !is_done(s, *n, *len)).collect();
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = Mutex::new(file.map_err(Error::io("open", &path))?);
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<Shard>> {
            let mut mine = Vec::new();
            while let Some(&&(scene, shard, series)) =
                todo.get(next.fetch_add(1, Ordering::Relaxed))
            {
                if interrupted() {
                    break;
                }
                let tally = simulate(&scene, series, self.seed_of(&scene, shard));
                let finished = Shard { scene, seed: self.seed, shard, tally };
                write(&file, &finished).map_err(Error::io("write", &path))?;
                mine.push(finished);
                progress(shards.len() - todo.len() + next.load(Ordering::Relaxed), shards.len());
            }
            Ok(mine)
        };
        let finished: Vec<Result<Vec<Shard>>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().expect("a simulation does not panic"))
                .collect()
        });
        for shard in finished.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten() {
            done.insert((key(&shard.scene), shard.shard), shard.tally);
        }
        let sum = |&(scene, series): &(Scene, u64)| {
            let mut sum = Tally::default();
            for shard in 0..series.div_ceil(SHARD) {
                sum.add(done.get(&(key(&scene), shard))?);
            }
            Some(sum)
        };
        Ok(self.scenes.iter().map(sum).collect())
    }

    /// Scenes that differ in effect alone share their noise, so that curves over effects are smooth; kinds of noise do not.
    fn seed_of(&self, scene: &Scene, shard: u64) -> u64 {
        let mixed = self.seed ^ (shard << 20) ^ ((scene.noise as u64) << 52);
        mixed.wrapping_mul(0xd134_2543_de82_ef95)
    }
}

/// Removes the file of shards, once what it came to is written.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn forget(folder: &Path) -> Result<()> {
    let path: PathBuf = folder.join(SHARDS);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn key(scene: &Scene) -> String {
    serde_json::to_string(scene).expect("a scene has a JSON form")
}

fn write(file: &Mutex<File>, shard: &Shard) -> std::io::Result<()> {
    let mut line = serde_json::to_string(shard).expect("a shard has a JSON form");
    line.push('\n');
    file.lock().expect("no writer panics").write_all(line.as_bytes())
}

/// The shards of a file; a last line without its end was cut off by an interruption and is left out.
fn read(path: &Path) -> Result<Vec<Shard>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(Error::io("read", path))?,
    };
    let lines = text.split_inclusive('\n').zip(1..).filter(|(line, _)| line.ends_with('\n'));
    let shard = |(line, number): (&str, u64)| {
        serde_json::from_str(line).map_err(|e| {
            let reason = format!("no shard of this build ({e}); remove the file to begin anew");
            Error::format(path, Some(number), reason)
        })
    };
    let shards = lines.map(shard).collect();
    if !text.is_empty() && !text.ends_with('\n') {
        // What is appended next must not continue the cut line.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        fs::write(path, &text[..whole]).map_err(Error::io("write", path))?;
    }
    shards
}

const _: () = assert!(ALONE[4] < SPREADS.len());

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Plan {
        let scene =
            Scene { noise: Noise::Pool, effect: 0.02, only: Some(2), pairs: 16, to_the_end: false };
        Plan { scenes: vec![(scene, 260), (Scene { only: None, ..scene }, 10)], seed: 3 }
    }

    #[test]
    fn an_interrupted_simulation_goes_on_to_the_same_counts() {
        let (once, twice) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let quiet = |_, _| {};
        let whole = small().run(once.path(), 2, &|| false, &quiet).unwrap().unwrap();
        assert_eq!((whole[0].series, whole[1].series), (260, 10));

        let calls = AtomicUsize::new(0);
        let stop = || calls.fetch_add(1, Ordering::Relaxed) >= 1;
        assert_eq!(small().run(twice.path(), 1, &stop, &quiet).unwrap(), None);
        let path = twice.path().join(SHARDS);
        let cut = fs::read_to_string(&path).unwrap() + "{\"scene\":";
        fs::write(&path, cut).unwrap();
        assert_eq!(small().run(twice.path(), 1, &|| false, &quiet).unwrap(), Some(whole));

        fs::write(&path, "nonsense\n").unwrap();
        let error = small().run(twice.path(), 1, &|| false, &quiet).unwrap_err().to_string();
        assert!(error.contains(":1: no shard"), "{error}");
        forget(twice.path()).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn the_plan_has_every_noise_at_both_ratios_and_power() {
        let plan = Plan::new(10_000, 1);
        let count = |f: &dyn Fn(&Scene) -> bool| plan.scenes.iter().filter(|s| f(&s.0)).count();
        assert_eq!(count(&|s| s.effect == 0.0 && !s.to_the_end), 5);
        assert_eq!(count(&|s| s.effect == 0.005 && s.to_the_end), 5);
        assert_eq!(count(&|s| s.effect == 0.02 && s.pairs == 32), 5 * 6);
    }
}
