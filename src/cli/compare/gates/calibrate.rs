//! Gates from runs: the worst of them and some slack.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::metrics::{self, Metric};
use super::{Bound, Calibrated, FORMAT_VERSION, Gate, Gates, ROUNDING};
use crate::cli::compare::report::Report;
use crate::cli::machine::{cpu, today};

/// Slack as a share of how far the worst figure is from that of equal models.
const SLACK: f64 = 0.1;
/// Figures are written with so many digits, the limit rounded outwards.
const DIGITS: i32 = 3;

const HEAD: &str = "\
# What mini-omni compare --gates holds a model to, written by --calibrate.
# A limit is the worst of the calibration's runs and some slack. To loosen one by hand, write a larger
# slack and the reason for it; a limit that worst and slack do not allow is itself a gate that fell.

";

/// The text of a file of gates: of every figure that the runs have, unless `earlier` gates choose
/// some, whose reasons stay.
pub fn calibrated(runs: &[Report], earlier: Option<&Gates>) -> Result<String> {
    let report = runs.first().context("no run to calibrate by")?;
    let wanted = |metric: &&Metric| earlier.is_none_or(|e| e.gates.contains_key(metric.name));
    let mut gates = BTreeMap::new();
    for metric in metrics::all().iter().filter(wanted) {
        let earlier = earlier.and_then(|earlier| earlier.gates.get(metric.name));
        match gate(metric, runs, earlier)? {
            Some(gate) => drop(gates.insert(metric.name.to_string(), gate)),
            // A gate that somebody chose must not go without a word.
            None if earlier.is_some() => bail!(
                "cannot calibrate {}: these questions have no such figure; ask some that have it, or take the gate out of the file",
                metric.name
            ),
            None => {}
        }
    }
    let gates = Gates {
        format_version: FORMAT_VERSION,
        calibrated: calibration(runs.len(), report),
        gates,
    };
    gates.check("the calibration")?;
    Ok(format!("{HEAD}{}", toml::to_string(&gates)?))
}

/// `None` where the runs do not have the figure.
fn gate(metric: &Metric, runs: &[Report], earlier: Option<&Gate>) -> Result<Option<Gate>> {
    let values: Option<Vec<f64>> = runs.iter().map(|run| metric.value(run)).collect();
    let Some(values) = values else {
        return Ok(None);
    };
    // No limit can be laid beside it, and the order of numbers would hide it.
    if values.iter().any(|value| !value.is_finite()) {
        bail!(
            "cannot calibrate {}: it came out as no number; calibrate by a model that is whole",
            metric.name
        );
    }
    let pick = match metric.bound {
        Bound::AtMost => f64::max,
        Bound::AtLeast => f64::min,
    };
    let worst = values.into_iter().reduce(pick).context("no run")?;
    let from_equal = match metric.bound {
        Bound::AtMost => worst,
        Bound::AtLeast => 1.0 - worst,
    };
    let slack = outwards((SLACK * from_equal).max(metric.least_slack));
    // No figure is below 0: a share that could be is a gate that holds whatever comes.
    let limit = metric.bound.beyond(worst, slack).max(0.0);
    Ok(Some(Gate {
        at_most: (metric.bound == Bound::AtMost).then_some(limit),
        at_least: (metric.bound == Bound::AtLeast).then_some(limit),
        worst,
        slack,
        reason: earlier.map_or_else(|| metric.reason.into(), |gate| gate.reason.clone()),
    }))
}

/// Rounded up to a few digits.
fn outwards(x: f64) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    let digit = 10f64.powi(x.log10().floor() as i32 + 1 - DIGITS);
    // Through text, so that 0.0021 is written as such.
    let rounded = (x / digit - ROUNDING).ceil() * digit;
    format!("{rounded:.*e}", DIGITS as usize - 1)
        .parse()
        .unwrap_or(rounded)
}

fn calibration(runs: usize, report: &Report) -> Calibrated {
    let [reference, candidate] = report
        .sides()
        .map(|[_, model, means]| format!("{model}; {means}"));
    Calibrated {
        date: today(),
        machine: cpu(),
        runs,
        version: report.version.clone(),
        onnxruntime: report.onnxruntime.clone(),
        threads: report.threads,
        reference,
        candidate,
        questions: report.inputs.len(),
        max_steps: report.max_steps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_is_rounded_outwards() {
        for (x, expected) in [
            (0.0, 0.0),
            (0.002, 0.002),
            (1.2341e-5, 1.24e-5),
            (0.9999, 1.0),
        ] {
            assert_eq!(outwards(x), expected);
        }
    }
}
