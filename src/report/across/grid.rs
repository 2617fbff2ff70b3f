//! Tables of the page that have a column a machine, or a row a machine where there are many.

use std::fmt::Write as _;

use crate::report::html::escape;

/// More machines than this stand below each other and not side by side.
const ACROSS: usize = 8;

/// A cell, as text.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// The speed ratio that colours it.
    pub ratio: Option<f64>,
}

impl Cell {
    /// A text without a colour, or a dash.
    pub fn plain(text: Option<&str>) -> Cell {
        Cell { text: text.unwrap_or("–").to_owned(), ratio: None }
    }

    fn html(&self, class: &str) -> String {
        let style =
            self.ratio.map_or_else(String::new, |ratio| format!(" style=\"{}\"", shade(ratio)));
        format!("<td{class}{style}>{}</td>", escape(&self.text))
    }
}

/// A row: its labels, whether it is marked, and a cell a machine.
pub type Row = (Vec<String>, bool, Vec<Cell>);

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid<'a> {
    /// Its heading.
    pub title: &'a str,
    /// A sentence on it, or nothing.
    pub what: &'a str,
    /// Whether cells are numbers, and stand on the right.
    pub numbers: bool,
    /// The names of the columns of labels.
    pub labels: Vec<String>,
    /// The names of machines.
    pub machines: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
}

impl Grid<'_> {
    /// The table with its heading; nothing without rows.
    pub fn html(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let title = escape(self.title);
        let mut page = format!("<h2>{title}</h2>\n");
        if !self.what.is_empty() {
            let _ = writeln!(page, "<p class=\"soft\">{}</p>", escape(self.what));
        }
        let table = if self.numbers { "" } else { " class=\"facts\"" };
        let _ = write!(
            page,
            "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\"><table{table}><thead><tr>"
        );
        let class = if self.numbers { " class=\"n\"" } else { "" };
        if self.machines.len() > ACROSS {
            self.down(&mut page, class);
        } else {
            self.across(&mut page, class);
        }
        page.push_str("</tbody></table></div>\n");
        page
    }

    /// A column a machine.
    fn across(&self, page: &mut String, class: &str) {
        for label in &self.labels {
            match label.as_str() {
                "" => page.push_str("<td></td>"),
                label => {
                    let _ = write!(page, "<th scope=\"col\">{}</th>", escape(label));
                }
            }
        }
        for name in &self.machines {
            let _ = write!(page, "<th scope=\"col\"{class}>{}</th>", escape(name));
        }
        page.push_str("</tr></thead><tbody>\n");
        for (labels, marked, cells) in &self.rows {
            page.push_str("<tr>");
            for label in labels {
                let _ = write!(page, "<th scope=\"row\">{}</th>", mark(label, *marked));
            }
            cells.iter().for_each(|cell| page.push_str(&cell.html(class)));
            page.push_str("</tr>\n");
        }
    }

    /// A row a machine.
    fn down(&self, page: &mut String, class: &str) {
        page.push_str("<th scope=\"col\">machine</th>");
        for (labels, marked, _) in &self.rows {
            let label = mark(&labels.join(", "), *marked);
            let _ = write!(page, "<th scope=\"col\"{class}>{label}</th>");
        }
        page.push_str("</tr></thead><tbody>\n");
        for (i, name) in self.machines.iter().enumerate() {
            let _ = write!(page, "<tr><th scope=\"row\">{}</th>", escape(name));
            for (_, _, cells) in &self.rows {
                page.push_str(&cells[i].html(class));
            }
            page.push_str("</tr>\n");
        }
    }
}

/// A label, in bold where sides differ.
fn mark(label: &str, marked: bool) -> String {
    match marked {
        true => format!("<span class=\"differ\">{}</span>", escape(label)),
        false => escape(label),
    }
}

/// The colour of a ratio: full from three times as fast or as slow on.
fn shade(ratio: f64) -> String {
    let strength = (ratio.ln().abs() / 3f64.ln()).min(1.0) * 0.45;
    let of = if ratio >= 1.0 { "fast" } else { "slow" };
    format!("background:rgba(var(--{of}),{strength:.2})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_machines_stand_below_each_other_with_every_cell_once() {
        let grid = |machines: usize| {
            let names = (0..machines).map(|i| format!("m{i}<")).collect();
            let cells =
                |of: &str| (0..machines).map(|i| Cell::plain(Some(&format!("{of}{i}&")))).collect();
            let rows = vec![
                (vec!["one".to_owned()], true, cells("a")),
                (vec!["two".to_owned()], false, cells("b")),
            ];
            let labels = vec![String::new()];
            Grid { title: "t", what: "", numbers: true, labels, machines: names, rows }.html()
        };
        for (machines, rows) in [(3, 3), (20, 21)] {
            let page = grid(machines);
            assert_eq!(page.matches("<tr>").count(), rows, "{page}");
            for i in 0..machines {
                for of in ["a", "b"] {
                    assert_eq!(page.matches(&format!(">{of}{i}&amp;<")).count(), 1, "{page}");
                }
                assert_eq!(page.matches(&format!(">m{i}&lt;<")).count(), 1, "{page}");
            }
        }
    }
}
