//! Gates: what a comparison must come to, in a file that says of each number where it is from.
//!
//! A limit is the worst of several runs and some slack, and the file says both, with the machine and
//! the day. A limit that is looser than they allow is a gate that fell: a person who loosens one writes
//! down by how much and why.

mod calibrate;
mod metrics;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

pub use calibrate::calibrated;
use metrics::Metric;

use super::report::Report;

/// The version of the file's format.
const FORMAT_VERSION: u32 = 1;
/// Bytes of the file; all gates have some 4 thousand.
const LARGEST: u64 = 1 << 20;
/// A limit may be rounded up by this share of itself.
const ROUNDING: f64 = 1e-9;

/// A file of gates.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gates {
    pub format_version: u32,
    pub calibrated: Calibrated,
    pub gates: BTreeMap<String, Gate>,
}

/// How the worst figures were measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// YYYY-MM-DD.
    pub date: String,
    pub machine: String,
    pub runs: usize,
    pub version: String,
    pub onnxruntime: String,
    pub threads: usize,
    pub reference: String,
    pub candidate: String,
    pub questions: usize,
    pub max_steps: usize,
}

/// A gate: one of the two limits, and why it is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// Of the calibration's runs.
    pub worst: f64,
    /// What the limit allows beyond the worst.
    pub slack: f64,
    pub reason: String,
}

/// Which side of its limit a figure has to be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    AtMost,
    AtLeast,
}

impl Bound {
    pub fn name(self) -> &'static str {
        match self {
            Bound::AtMost => "at most",
            Bound::AtLeast => "at least",
        }
    }

    /// A limit this far beyond a figure.
    fn beyond(self, figure: f64, slack: f64) -> f64 {
        match self {
            Bound::AtMost => figure + slack,
            Bound::AtLeast => figure - slack,
        }
    }

    /// Whether a figure is within a limit. What is not a number is within none.
    fn holds(self, figure: f64, limit: f64) -> bool {
        match self {
            Bound::AtMost => figure <= limit,
            Bound::AtLeast => figure >= limit,
        }
    }
}

/// What became of a gate.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    pub gate: String,
    pub bound: Bound,
    pub limit: f64,
    /// Null where the comparison has no such figure.
    pub value: Option<f64>,
    /// The loosest limit that the gate's own calibration allows.
    pub allowed: f64,
    pub passed: bool,
    pub reason: String,
}

impl Verdict {
    /// Of `--min-agreement`, a gate without a file.
    pub fn of_agreement(limit: f64, report: &Report) -> Verdict {
        let bound = Bound::AtLeast;
        Verdict {
            gate: "--min-agreement".into(),
            bound,
            limit,
            value: Some(report.agreement),
            allowed: limit,
            passed: bound.holds(report.agreement, limit),
            reason: "share of all ids that are the reference's".into(),
        }
    }

    /// Why it fell, or that it holds.
    pub fn sentence(&self) -> String {
        let Verdict { gate, limit, .. } = self;
        let bound = self.bound.name();
        if !self.allows_limit() {
            return format!(
                "gate {gate} fell: its limit, {bound} {limit}, is looser than its worst run and its slack allow, {}",
                self.allowed
            );
        }
        match self.value {
            _ if self.passed => format!("gate {gate} holds"),
            Some(value) => format!("gate {gate} fell: {value}, {bound} {limit} is allowed"),
            None => format!("gate {gate} fell: the comparison has no such figure"),
        }
    }

    fn allows_limit(&self) -> bool {
        let rounded = self
            .bound
            .beyond(self.allowed, self.allowed.abs() * ROUNDING);
        self.bound.holds(self.limit, rounded)
    }
}

impl Gates {
    /// Reads a file of gates.
    pub fn read(path: &Path) -> Result<Gates> {
        let name = path.display();
        let text = read(path).with_context(|| format!("cannot read the gates {name}"))?;
        let no_gates = || format!("{name} is no file of gates");
        let table: toml::Table = toml::from_str(&text).with_context(no_gates)?;
        // Of another version nothing else has to be known.
        if let Some(version) = table.get("format_version")
            && version.as_integer() != Some(FORMAT_VERSION.into())
        {
            bail!(
                "{name} has format_version {version}, this program reads {FORMAT_VERSION}; calibrate it again"
            );
        }
        if !table.contains_key("calibrated") {
            bail!(
                "{name} has no [calibrated], which says how its limits were measured; let --calibrate write the file, then edit it"
            );
        }
        let gates: Gates = toml::from_str(&text).with_context(no_gates)?;
        gates.check(&name.to_string())?;
        Ok(gates)
    }

    /// Refuses gates that make no sense; `name` is theirs in a sentence.
    fn check(&self, name: &str) -> Result<()> {
        if self.gates.is_empty() {
            bail!("{name} has no gate, so nothing would be held; write some with --calibrate");
        }
        for (gate, limits) in &self.gates {
            let metric = metrics::find(gate).with_context(|| {
                format!(
                    "{name} has a gate {gate}, which is no figure of a comparison; there are: {}",
                    metrics::names()
                )
            })?;
            limit(limits, metric).with_context(|| format!("{name}, gate {gate}"))?;
        }
        Ok(())
    }

    /// Holds a comparison against each gate.
    pub fn judge(&self, report: &Report) -> Vec<Verdict> {
        let judged = self.gates.iter().filter_map(|(name, gate)| {
            let metric = metrics::find(name)?;
            let limit = limit(gate, metric).ok()?;
            let mut verdict = Verdict {
                gate: name.clone(),
                bound: metric.bound,
                limit,
                value: metric.value(report),
                allowed: metric.bound.beyond(gate.worst, gate.slack),
                passed: false,
                reason: gate.reason.clone(),
            };
            let holds = |value| metric.bound.holds(value, limit);
            verdict.passed = verdict.allows_limit() && verdict.value.is_some_and(holds);
            Some(verdict)
        });
        judged.collect()
    }
}

/// The text of a file, which must be one: a device may have no end.
fn read(path: &Path) -> Result<String> {
    let there = std::fs::metadata(path)?;
    if !there.is_file() || there.len() > LARGEST {
        bail!("it is no file of at most {LARGEST} bytes");
    }
    Ok(std::fs::read_to_string(path)?)
}

/// The limit of a gate, which must be the one that its figure has.
fn limit(gate: &Gate, metric: &Metric) -> Result<f64> {
    let limit = match (metric.bound, gate.at_most, gate.at_least) {
        (Bound::AtMost, Some(limit), None) | (Bound::AtLeast, None, Some(limit)) => limit,
        (Bound::AtMost, ..) => bail!("its limit is at_most, and nothing else"),
        (Bound::AtLeast, ..) => bail!("its limit is at_least, and nothing else"),
    };
    if [limit, gate.worst, gate.slack]
        .iter()
        .any(|x| !x.is_finite())
        || gate.slack < 0.0
    {
        bail!("limit, worst and slack are finite numbers, and the slack is not negative");
    }
    if gate.reason.trim().is_empty() {
        bail!("its reason is empty; say why it is there");
    }
    Ok(limit)
}
