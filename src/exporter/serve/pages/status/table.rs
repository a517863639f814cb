//! Tables of the status page: rows on a wide screen, cards on a narrow one. Roles are written out, because a browser
//! may no longer expose a row as a row once the style sheet shows it as a card.

use std::fmt::{Display, Write as _};

/// A table with a heading for each column.
pub(super) struct Table<'o> {
    out: &'o mut String,
    columns: &'static [&'static str],
}

impl<'o> Table<'o> {
    /// Begins a table that the heading with this id names.
    pub(super) fn new(heading: &str, columns: &'static [&'static str], out: &'o mut String) -> Table<'o> {
        // Where it is wider than the screen, the keyboard must be able to move it.
        let _ = write!(
            out,
            "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"{heading}\">\
             <table class=\"wide {heading}\" role=\"table\">\n\
             <thead role=\"rowgroup\"><tr role=\"row\">"
        );
        for name in columns {
            let _ = write!(out, "<th role=\"columnheader\" scope=\"col\">{name}</th>");
        }
        out.push_str("</tr></thead>\n<tbody role=\"rowgroup\">\n");
        Table { out, columns }
    }

    /// Adds a row: a cell for each column, as HTML. The first one names the row.
    pub(super) fn row(&mut self, cells: &[&dyn Display]) {
        self.out.push_str("<tr role=\"row\">");
        for (at, (cell, name)) in cells.iter().zip(self.columns).enumerate() {
            let _ = if at == 0 {
                write!(self.out, "<th role=\"rowheader\" scope=\"row\">{cell}</th>")
            } else {
                write!(self.out, "<td role=\"cell\" data-label=\"{name}\">{cell}</td>")
            };
        }
        self.out.push_str("</tr>\n");
    }

    /// Ends the table; `more` rows are not shown.
    pub(super) fn end(self, more: usize) {
        self.out.push_str("</tbody>\n</table></div>\n");
        if more > 0 {
            let _ = writeln!(self.out, "<p class=\"none\">And {more} more.</p>");
        }
    }
}

/// Facts under a heading, each with its name.
pub(super) fn facts(id: &str, title: &str, out: &mut String, facts: &[(&str, String)]) {
    let _ =
        writeln!(out, "<h3 id=\"{id}\">{title}</h3>\n<div class=\"scroll\"><table class=\"facts\">\n<tbody>");
    for (name, value) in facts {
        let _ = writeln!(out, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>");
    }
    out.push_str("</tbody>\n</table></div>\n");
}
