//! Aligned columns and small bars.

use std::borrow::Cow;
use std::io::{self, Write};

/// Eighths of a character, for bars that are finer than the characters.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// Heights, for a line of small columns.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Characters of a text that are shown however narrow the terminal is: those of a time without its seconds.
const LEAST_TEXT: usize = 16;

/// Rows of text. A column whose heading starts with `>` is aligned to the right.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &[&'static str]) -> Table {
        Table { headings: headings.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Writes headings and rows, two spaces in; within `columns` if there is such a limit. Then bars, which have no
    /// heading, are left out first, and after that the widest texts are cut.
    pub(crate) fn write(&self, out: &mut impl Write, columns: Option<usize>) -> io::Result<()> {
        let headings: Vec<String> =
            self.headings.iter().map(|heading| heading.trim_start_matches('>').to_owned()).collect();
        let widths = self.widths(&headings, columns.unwrap_or(usize::MAX));
        let dim = anstyle::Style::new().dimmed();
        for (number, row) in [&headings].into_iter().chain(&self.rows).enumerate() {
            let mut line = String::new();
            for ((cell, &width), heading) in row.iter().zip(&widths).zip(&self.headings) {
                let cell = cut(cell, width);
                let cell = match heading.starts_with('>') {
                    true => format!("  {cell:>width$}"),
                    false => format!("  {cell:width$}"),
                };
                line.push_str(&cell);
            }
            let style = if number == 0 { dim } else { anstyle::Style::new() };
            writeln!(out, "{style}{}{style:#}", line.trim_end())?;
        }
        Ok(())
    }

    /// The width of each column that is shown.
    fn widths(&self, headings: &[String], columns: usize) -> Vec<usize> {
        let width = |column: usize| {
            let cells =
                self.rows.iter().map(Vec::as_slice).chain([headings]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let mut widths: Vec<_> = (0..headings.len()).map(width).collect();
        let is_too_wide = |widths: &[usize]| widths.iter().map(|width| width + 2).sum::<usize>() > columns;
        if is_too_wide(&widths) && self.headings.last() == Some(&"") {
            widths.pop();
        }
        while is_too_wide(&widths) {
            let texts =
                widths.iter_mut().zip(&self.headings).filter(|(_, heading)| !heading.starts_with('>'));
            let Some(widest) = texts.map(|(width, _)| width).max().filter(|width| **width > LEAST_TEXT)
            else {
                break;
            };
            *widest -= 1;
        }
        widths
    }
}

/// The text within `width` characters.
fn cut(text: &str, width: usize) -> Cow<'_, str> {
    match text.char_indices().nth(width) {
        None => text.into(),
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// A bar of at most `width` characters for `value` where `largest` fills it.
pub(crate) fn bar(value: f64, largest: f64, width: u32) -> String {
    if value <= 0.0 || largest <= 0.0 {
        return String::new();
    }
    // What is there shows, however small.
    let eighths = (value / largest * f64::from(width) * 8.0).round().clamp(1.0, f64::from(width) * 8.0);
    let full = (1..=width).take_while(|&character| f64::from(character) * 8.0 <= eighths).count();
    let rest = eighths % 8.0;
    let part = EIGHTHS.iter().zip(1u8..).find(|(_, eighth)| f64::from(*eighth) == rest);
    let full = std::iter::repeat_n('█', full);
    full.chain(part.filter(|_| rest > 0.0).map(|(part, _)| *part)).collect()
}

/// One small column for each count.
pub(crate) fn columns(counts: &[u64]) -> String {
    let largest = counts.iter().copied().max().unwrap_or(0).max(1);
    let column = |&count: &u64| match count {
        0 => ' ',
        count => {
            let height = u128::from(count) * 7 / u128::from(largest);
            HEIGHTS[usize::try_from(height).unwrap_or(0).min(7)]
        }
    };
    counts.iter().map(column).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let mut table = Table::new(&["name", ">runs"]);
        table.row(vec!["ключ".into(), "7".into()]);
        table.row(vec!["a".into(), "12345".into()]);
        let mut out = anstream::StripStream::new(Vec::new());
        table.write(&mut out, None).unwrap();
        let text = String::from_utf8(out.into_inner()).unwrap();
        assert_eq!(text, "  name   runs\n  ключ      7\n  a     12345\n");
    }

    #[test]
    fn a_narrow_terminal_costs_bars_first_and_then_the_end_of_the_longest_texts() {
        let mut table = Table::new(&["name", ">runs", ""]);
        table.row(vec!["the name of a Source".into(), "7".into(), "███".into()]);
        let text = |columns| {
            let mut out = anstream::StripStream::new(Vec::new());
            table.write(&mut out, Some(columns)).unwrap();
            String::from_utf8(out.into_inner()).unwrap().lines().last().unwrap().to_owned()
        };
        assert_eq!(text(33), "  the name of a Source     7  ███");
        assert_eq!(text(32), "  the name of a Source     7");
        assert_eq!(text(26), "  the name of a Sou…     7");
        assert_eq!(text(9), "  the name of a S…     7");
    }

    #[test]
    fn bars_grow_with_their_value() {
        assert_eq!(bar(8.0, 8.0, 4), "████");
        assert_eq!(bar(4.0, 8.0, 4), "██");
        assert_eq!(bar(1.0, 8.0, 4), "▌");
        assert_eq!(bar(0.001, 8.0, 4), "▏");
        assert_eq!(bar(0.0, 8.0, 4), "");
        assert_eq!(columns(&[0, 1, 4, 8]), " ▁▄█");
    }
}
