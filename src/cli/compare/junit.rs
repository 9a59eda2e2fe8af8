//! The gates as JUnit's XML, which CI systems read: a test case a gate.

use super::gates::Verdict;
use super::report::Report;

/// The file's text.
pub fn junit(report: &Report) -> String {
    let fallen = report.gates.iter().filter(|gate| !gate.passed).count();
    let suite = format!(
        "name=\"mini-omni compare\" tests=\"{}\" failures=\"{fallen}\"",
        report.gates.len()
    );
    let sides = report.sides().map(property).concat();
    let cases: String = report.gates.iter().map(case).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n <testsuite {suite}>\n  <properties>\n{sides}  </properties>\n{cases} </testsuite>\n</testsuites>\n"
    )
}

/// A side of the comparison.
fn property([name, model, means]: [String; 3]) -> String {
    let value = escaped(&format!("{model}; {means}"));
    format!("   <property name=\"{name}\" value=\"{value}\"/>\n")
}

fn case(gate: &Verdict) -> String {
    let head = format!(
        "  <testcase classname=\"mini-omni.compare\" name=\"{}\"",
        escaped(&gate.gate)
    );
    match gate.passed {
        true => format!("{head}/>\n"),
        false => {
            let why = escaped(&gate.sentence());
            let reason = escaped(&gate.reason);
            format!("{head}>\n   <failure message=\"{why}\">{reason}</failure>\n  </testcase>\n")
        }
    }
}

/// Text as XML and HTML write it.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out() {
        assert_eq!(escaped("a<b>&\"c\"\n"), "a&lt;b&gt;&amp;&quot;c&quot; ");
    }
}
