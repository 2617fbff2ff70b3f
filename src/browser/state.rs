//! What is shown, and what keys do to it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::Start;
use crate::record::{Counter, Record};
use crate::report::browse::{self, By, Times};
use crate::report::sweep::{Sweep, around};

/// The orders that `s` goes through.
const ORDERS: [By; 9] = [
    By::Order,
    By::Time,
    By::Rate,
    By::Share,
    By::Memory,
    By::Spread,
    By::Kernel,
    By::Case,
    By::Status,
];

/// What fills the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// A row a record.
    Table,
    /// All of the selected record.
    Record,
    /// The curves that it lies on.
    Curves,
    /// What keys do.
    Keys,
}

/// What the one who drives the browser is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Leave it.
    Leave,
    /// Stop until the shell goes on with it.
    Suspend,
}

/// The browser's state.
#[derive(Debug)]
pub struct Browser<'r> {
    pub(super) records: &'r [Record],
    pub(super) counters: &'r [Counter],
    /// The run's name, for the title.
    pub(super) name: String,
    /// Samples, as soon as they are read.
    pub(super) times: Option<Times>,
    /// What the filter looks into, for each record.
    texts: Vec<String>,
    /// Every record's place, sorted.
    order: Vec<usize>,
    /// Of these, the ones that the filter lets through.
    pub(super) rows: Vec<usize>,
    /// The selected row.
    pub(super) at: usize,
    /// The first row on the screen.
    pub(super) top: usize,
    /// Rows on the screen, as of the last frame.
    pub(super) page: usize,
    /// Letters that cases are shifted by.
    pub(super) aside: usize,
    pub(super) by: By,
    pub(super) reverse: bool,
    pub(super) filter: String,
    /// Whether keys go into the filter.
    pub(super) typing: bool,
    pub(super) view: View,
    /// The view that is behind the keys'.
    behind: View,
    /// The first line on the screen of a text.
    pub(super) line: usize,
    /// What the selected record's curves are, and which of them are shown.
    pub(super) curves: Vec<Sweep<'r>>,
    pub(super) curve: usize,
    /// Whether curves show time, not rate.
    pub(super) shows_time: bool,
}

impl<'r> Browser<'r> {
    /// A browser of these records, on the table.
    pub fn new(
        records: &'r [Record],
        counters: &'r [Counter],
        name: &str,
        start: Start,
    ) -> Browser<'r> {
        let mut browser = Browser {
            records,
            counters,
            name: name.to_owned(),
            times: None,
            texts: records.iter().map(browse::searched).collect(),
            order: browse::order(records, start.sort, start.reverse),
            rows: Vec::new(),
            at: 0,
            top: 0,
            page: 1,
            aside: 0,
            by: start.sort,
            reverse: start.reverse,
            filter: start.find,
            typing: false,
            view: View::Table,
            behind: View::Table,
            line: 0,
            curves: Vec::new(),
            curve: 0,
            shows_time: false,
        };
        browser.choose_rows();
        browser
    }

    /// Takes the samples, which are drawn from now on.
    pub fn receive(&mut self, times: Times) {
        self.times = Some(times);
    }

    /// The selected record; `None` where the filter lets none through.
    pub fn selected(&self) -> Option<&'r Record> {
        self.rows.get(self.at).map(|&place| &self.records[place])
    }

    /// Does what a key asks for.
    pub fn key(&mut self, key: KeyEvent) -> Option<Request> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return Some(Request::Leave),
                KeyCode::Char('z') => return Some(Request::Suspend),
                _ => {}
            }
        }
        if self.typing {
            self.key_of_filter(key);
            return None;
        }
        let code = match key.code {
            KeyCode::Char('f') if key.modifiers == KeyModifiers::CONTROL => KeyCode::PageDown,
            KeyCode::Char('b') if key.modifiers == KeyModifiers::CONTROL => KeyCode::PageUp,
            _ if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => {
                return None;
            }
            code => code,
        };
        match code {
            KeyCode::Char('q') => return Some(Request::Leave),
            KeyCode::Char('?') if self.view != View::Keys => {
                self.behind = self.view;
                self.show(View::Keys);
            }
            KeyCode::Char('/') => {
                self.show(View::Table);
                self.typing = true;
            }
            KeyCode::Char('s') => self.sort(1),
            KeyCode::Char('S') => self.sort(ORDERS.len() - 1),
            KeyCode::Char('r') => {
                self.reverse = !self.reverse;
                self.sort(0);
            }
            _ => return self.key_of_view(code),
        }
        None
    }

    fn key_of_view(&mut self, code: KeyCode) -> Option<Request> {
        let is_text = matches!(self.view, View::Record | View::Keys);
        match (self.view, code) {
            (View::Table, KeyCode::Esc) if self.filter.is_empty() => return Some(Request::Leave),
            (View::Table, KeyCode::Esc) => {
                self.filter.clear();
                self.choose_rows();
            }
            (View::Keys, KeyCode::Esc | KeyCode::Char('?') | KeyCode::Enter) => {
                self.show(self.behind);
            }
            (_, KeyCode::Esc | KeyCode::Backspace) => self.show(View::Table),
            (View::Record, KeyCode::Enter) => self.show(View::Table),
            (View::Table | View::Curves, KeyCode::Enter) => self.show(View::Record),
            (View::Curves, KeyCode::Char('c')) => self.show(View::Table),
            (_, KeyCode::Char('c')) => self.show(View::Curves),
            (View::Curves, KeyCode::Char('t')) => self.shows_time = !self.shows_time,
            (View::Curves, KeyCode::Char('x')) => {
                self.curve = (self.curve + 1) % self.curves.len().max(1);
            }
            (_, KeyCode::Char('n')) => self.step(1),
            (_, KeyCode::Char('p')) => self.step(-1),
            (View::Table, KeyCode::Right | KeyCode::Char('l')) => self.aside += 8,
            (View::Table, KeyCode::Left | KeyCode::Char('h')) => {
                self.aside = self.aside.saturating_sub(8);
            }
            (_, KeyCode::Right | KeyCode::Char('l')) => self.step(1),
            (_, KeyCode::Left | KeyCode::Char('h')) => self.step(-1),
            _ => {
                if let Some(by) = self.stride(code) {
                    match is_text {
                        true => self.line = self.line.saturating_add_signed(by),
                        false => self.step(by),
                    }
                }
            }
        }
        None
    }

    /// How far a key goes up or down.
    fn stride(&self, code: KeyCode) -> Option<isize> {
        let page = self.page.max(2) as isize - 1;
        match code {
            KeyCode::Down | KeyCode::Char('j') => Some(1),
            KeyCode::Up | KeyCode::Char('k') => Some(-1),
            KeyCode::PageDown | KeyCode::Char(' ') => Some(page),
            KeyCode::PageUp => Some(-page),
            KeyCode::Home | KeyCode::Char('g') => Some(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => Some(isize::MAX),
            _ => None,
        }
    }

    fn key_of_filter(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char('u') if control => self.filter.clear(),
            KeyCode::Char('w') if control => {
                let kept = self.filter.trim_end().rfind(' ').map_or(0, |space| space + 1);
                self.filter.truncate(kept);
            }
            KeyCode::Char(c)
                if !control && !key.modifiers.contains(KeyModifiers::ALT) && !c.is_control() =>
            {
                self.filter.push(c);
            }
            KeyCode::Char(_) => {}
            code => {
                if let Some(by) = self.stride(code) {
                    self.step(by);
                }
                return;
            }
        }
        self.choose_rows();
    }

    /// Changes the view, from its beginning.
    fn show(&mut self, view: View) {
        self.view = view;
        self.line = 0;
        self.find_curves();
    }

    /// Selects another row.
    fn step(&mut self, by: isize) {
        self.at = self.at.saturating_add_signed(by).min(self.rows.len().saturating_sub(1));
        self.find_curves();
    }

    /// Sorts by what stands so much further in [`ORDERS`].
    fn sort(&mut self, further: usize) {
        let at = ORDERS.iter().position(|by| *by == self.by).unwrap_or(0);
        self.by = ORDERS[(at + further) % ORDERS.len()];
        if further > 0 {
            self.reverse = false;
        }
        self.order = browse::order(self.records, self.by, self.reverse);
        self.choose_rows();
        // What somebody sorts for is at the top.
        (self.at, self.top) = (0, 0);
        self.find_curves();
    }

    /// Applies the filter; the selected record stays so if it is still there.
    fn choose_rows(&mut self) {
        let selected = self.rows.get(self.at).copied();
        let words = browse::words(&self.filter);
        let fits = |place: &usize| browse::has(&self.texts[*place], &words);
        self.rows = self.order.iter().copied().filter(fits).collect();
        let same = |place: &usize| Some(*place) == selected;
        self.at = self.rows.iter().position(same).unwrap_or(0);
    }

    /// Looks the curves of the selected record up, where they are shown.
    fn find_curves(&mut self) {
        if self.view == View::Curves {
            let kind = |sweep: &Sweep| sweep.parameter;
            let before = self.curves.get(self.curve).map(kind);
            self.curves =
                self.selected().map(|record| around(record, self.records)).unwrap_or_default();
            let same = |sweep: &Sweep| Some(sweep.parameter) == before;
            self.curve = self.curves.iter().position(same).unwrap_or(0);
        }
    }
}
