//! The browser of `scalemark show` on the terminal that there is, which it gives back as it was, whichever way it is left.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::Duration;

use anyhow::{Context, bail};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use super::interrupt;
use crate::browser::{Browser, Look, Request, Start};
use crate::report::browse::Times;
use crate::store::Run;

/// How long to wait for a key before looking whether samples have come, or a signal.
const PATIENCE: Duration = Duration::from_millis(100);

/// Browses a run until the user leaves. Samples are read meanwhile: they are most of a run, and only drawn.
///
/// # Errors
/// Where no record has the words of `start`, when the terminal cannot be driven, and when the samples cannot be read.
pub fn open(run: &Arc<Run>, start: Start) -> anyhow::Result<ExitCode> {
    let find = start.find.clone();
    let name = run.folder.display().to_string();
    let mut browser = Browser::new(&run.records, &run.counters, &name, start);
    if browser.selected().is_none() {
        bail!("no record of {name} has all of `{find}`");
    }
    let samples = read_samples(Arc::clone(run));
    interrupt::catch();
    let mut terminal = ratatui::try_init().context("failed to take the terminal over")?;
    let left = until_left(&mut terminal, &mut browser, &samples);
    let given_back = ratatui::try_restore().and_then(|()| terminal.show_cursor());
    let code = left?;
    given_back.context("failed to give the terminal back; `reset` does")?;
    Ok(code)
}

fn read_samples(run: Arc<Run>) -> Receiver<anyhow::Result<Times>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let times = run.samples().map(|samples| Times::new(&samples));
        // Who has left the browser needs no samples any more.
        let _ = send.send(times.map_err(anyhow::Error::from));
    });
    receive
}

fn until_left(
    terminal: &mut DefaultTerminal,
    browser: &mut Browser,
    samples: &Receiver<anyhow::Result<Times>>,
) -> anyhow::Result<ExitCode> {
    let look = Look::of_environment();
    let mut reading = true;
    loop {
        terminal.draw(|frame| browser.draw(frame, look)).context("failed to draw")?;
        loop {
            if interrupt::is_asked() {
                return Ok(interrupt::exit_code());
            }
            match samples.try_recv() {
                Ok(times) => {
                    browser.receive(times?);
                    reading = false;
                    break;
                }
                Err(TryRecvError::Disconnected) if reading => bail!("reading samples broke off"),
                Err(_) => {}
            }
            if event::poll(PATIENCE).context("failed to read keys")? {
                break;
            }
        }
        // Keys that are held down come faster than frames can be drawn.
        while event::poll(Duration::ZERO).context("failed to read keys")? {
            let Event::Key(key) = event::read().context("failed to read a key")? else { continue };
            if key.kind == KeyEventKind::Release {
                continue;
            }
            match browser.key(key) {
                None => {}
                Some(Request::Leave) => return Ok(ExitCode::SUCCESS),
                Some(Request::Suspend) => suspend(terminal).context("failed to suspend")?,
            }
        }
    }
}

/// Ctrl-Z: gives the terminal to the shell until it says `fg`.
fn suspend(terminal: &mut DefaultTerminal) -> io::Result<()> {
    ratatui::try_restore()?;
    terminal.show_cursor()?;
    #[cfg(unix)]
    // SAFETY: raising a signal touches no memory of ours; SIGTSTP stops the process until SIGCONT.
    unsafe {
        libc::raise(libc::SIGTSTP)
    };
    // Made anew, for it knows nothing of what stands on the screen now.
    *terminal = ratatui::try_init()?;
    Ok(())
}
