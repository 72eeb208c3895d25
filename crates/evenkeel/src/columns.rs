//! Tables for people: columns as wide as their widest cell.

/// Which side the cells of a column stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows to be.
pub(crate) struct Columns {
    heads: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Columns {
    /// A table with these headings; all empty is none.
    pub(crate) fn new(heads: &[(&'static str, Align)]) -> Self {
        Self { heads: heads.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each heading.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.heads.len());
        self.rows.push(cells.map(|cell| visible(&cell)).into());
    }

    /// The whole, with a line end after each row.
    pub(crate) fn text(&self) -> String {
        let widths: Vec<usize> = (0..self.heads.len()).map(|column| self.width(column)).collect();
        let mut text = String::new();
        if self.heads.iter().any(|(name, _)| !name.is_empty()) {
            let names: Vec<String> = self.heads.iter().map(|(name, _)| (*name).to_owned()).collect();
            self.write(&mut text, &names, &widths);
        }
        for row in &self.rows {
            self.write(&mut text, row, &widths);
        }
        text
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].chars().count());
        cells.chain([self.heads[column].0.chars().count()]).max().unwrap_or(0)
    }

    fn write(&self, text: &mut String, cells: &[String], widths: &[usize]) {
        let mut line = String::new();
        for ((cell, width), (_, align)) in cells.iter().zip(widths).zip(&self.heads) {
            let cell = match align {
                Align::Left => format!("{cell:<width$}  "),
                Align::Right => format!("{cell:>width$}  "),
            };
            line.push_str(&cell);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// Control characters written out: a reason or a path must not speak to the terminal.
fn visible(cell: &str) -> String {
    let shown = |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.into() };
    cell.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut columns = Columns::new(&[("NAME", Align::Left), ("REQUESTS", Align::Right), ("WHY", Align::Left)]);
        columns.row(["a".into(), "12".into(), "x".into()]);
        columns.row(["longer".into(), "3".into(), "\u{1b}[1m".into()]);
        let expected = "NAME    REQUESTS  WHY\na             12  x\nlonger         3  \\u{1b}[1m\n";
        assert_eq!(columns.text(), expected);
    }

    #[test]
    fn without_headings_there_is_no_first_line() {
        let mut columns = Columns::new(&[("", Align::Left), ("", Align::Left)]);
        columns.row(["a = 1".into(), "# default".into()]);
        assert_eq!(columns.text(), "a = 1  # default\n");
    }
}
