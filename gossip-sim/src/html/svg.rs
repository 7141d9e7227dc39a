//! A drawing, put together from a few shapes. Colours and fonts are classes of the style sheet.

use std::fmt::Write;

/// Width of every drawing, in its own units.
const WIDTH: f64 = 960.0;

/// Where plots begin, right of their labels.
pub(super) const LEFT: f64 = 165.0;

/// Where they end; half of the last label of the axis fits beyond it.
pub(super) const RIGHT: f64 = 930.0;

pub(super) struct Svg {
    body: String,
}

impl Svg {
    /// `label` says what is drawn to those who cannot see it.
    pub(super) fn new(height: f64, label: &str) -> Self {
        let label = escape(label);
        let body = format!(
            "<div class=\"plot\"><svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{label}\">"
        );
        Self { body }
    }

    pub(super) fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let text = escape(text);
        let _ = write!(self.body, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ =
            write!(self.body, "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
    }

    pub(super) fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64), hint: &str) {
        let ((x, y), (width, height)) = (at, size);
        let hint = title(hint);
        let _ = write!(
            self.body,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\">{hint}</rect>"
        );
    }

    pub(super) fn path(&mut self, class: &str, path: &str, hint: &str) {
        let hint = title(hint);
        let _ = write!(self.body, "<path class=\"{class}\" d=\"{path}\">{hint}</path>");
    }

    pub(super) fn dot(&mut self, class: &str, (x, y): (f64, f64), hint: &str) {
        let hint = title(hint);
        let _ =
            write!(self.body, "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\">{hint}</circle>");
    }

    pub(super) fn finish(self) -> String {
        self.body + "</svg></div>"
    }
}

/// What a pointer that rests there is shown.
fn title(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("<title>{}</title>", escape(hint)) }
}

/// Swatches of colours, and what they stand for.
pub(super) fn legend(entries: &[(&str, String)]) -> String {
    let entries = entries.iter().fold(String::new(), |mut text, (class, name)| {
        let _ = write!(text, "<span><i class=\"{class}\"></i>{}</span>", escape(name));
        text
    });
    format!("<p class=\"legend\">{entries}</p>")
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// At most so many characters, the last of them dots if there were more.
pub(super) fn shorten(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest.saturating_sub(1)).chain(['…']).collect()
}
