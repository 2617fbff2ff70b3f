//! How far long work is: a bar with an ETA on a terminal, plain lines elsewhere; always on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Progress over a known number of steps.
pub struct Progress {
    bar: Option<ProgressBar>,
    total: usize,
    done: usize,
    start: Instant,
}

impl Progress {
    /// Starts a bar of `total` steps, or lines when standard error is no terminal.
    pub fn new(total: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total as u64);
            let style =
                "{bar:30.cyan/blue} {pos}/{len} {elapsed} elapsed, about {eta} left  {wide_msg}";
            bar.set_style(
                ProgressStyle::with_template(style).expect("the template is well-formed"),
            );
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        Progress { bar, total, done: 0, start: Instant::now() }
    }

    /// Says what is being done now.
    pub fn now(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// Counts a step; `line` is printed where there is no bar.
    pub fn step(&mut self, line: &str) {
        self.done += 1;
        match &self.bar {
            Some(bar) => bar.inc(1),
            None => {
                let elapsed = self.start.elapsed().as_secs();
                let width = self.total.to_string().len();
                super::note(&format!(
                    "[{:>width$}/{} {elapsed:>3} s] {line}",
                    self.done, self.total
                ));
            }
        }
    }

    /// Removes the bar.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
