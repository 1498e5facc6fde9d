//! The table that a bench prints.

/// One figure.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// The figure with its unit.
    pub(crate) value: String,
    /// What it stands beside, measured in the same run.
    pub(crate) beside: String,
    /// The ratio of the two, or the figure itself, as the bar wants it.
    pub(crate) ratio: Option<f64>,
    /// The bar of the design.
    pub(crate) bar: Option<Bar>,
}

/// What a figure must reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bar {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// Prints the rows in columns.
pub(crate) fn print(rows: &[Row]) {
    let heads = ["what", "value", "beside", "figure", "bar", ""].map(str::to_owned);
    let mut cells = vec![heads];
    for row in rows {
        let (bar, met) = match (row.bar, row.ratio) {
            (Some(Bar::AtMost(most)), Some(ratio)) => (format!("≤ {most}"), ratio <= most),
            (Some(Bar::AtLeast(least)), Some(ratio)) => (format!("≥ {least}"), ratio >= least),
            _ => (String::new(), true),
        };
        let verdict = if bar.is_empty() {
            ""
        } else if met {
            "met"
        } else {
            "MISSED"
        };
        let ratio = row.ratio.map(|r| format!("{r:.2}")).unwrap_or_default();
        cells.push([row.what.clone(), row.value.clone(), row.beside.clone(), ratio, bar, verdict.to_owned()]);
    }
    let widths: Vec<usize> =
        (0..6).map(|c| cells.iter().map(|row| row[c].chars().count()).max().unwrap_or(0)).collect();
    for row in cells {
        let line: Vec<String> = row.iter().zip(&widths).map(|(cell, &w)| format!("{cell:<w$}")).collect();
        println!("{}", line.join("  ").trim_end());
    }
}
