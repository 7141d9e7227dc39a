//! Who watches the demonstration: a terminal, a pipe, or a program that only wants the result.

use std::io;
use std::time::Instant;

use super::fleet::Fleet;
use super::screen::Screen;
use super::script::Step;
use super::transport::Transport;
use crate::exit::Failure;
use crate::output;

/// The way in which things are shown.
#[derive(Debug)]
pub(crate) enum Reporter {
    /// Not at all.
    Silent,
    /// As lines, when they happen.
    Lines { since: Instant },
    /// As a table that is redrawn in place.
    Live(Box<Screen>),
}

impl Reporter {
    /// Finds out who watches.
    ///
    /// # Errors
    ///
    /// The terminal does not take what is written to it.
    pub(crate) fn choose(json: bool, nodes: usize, transport: Transport) -> Result<Self, Failure> {
        let stdout = io::stdout();
        if json {
            Ok(Self::Silent)
        } else if output::is_capable_terminal(&stdout) {
            Ok(Self::Live(Box::new(Screen::open((nodes, transport), output::colours(&stdout)).map_err(unwritable)?)))
        } else {
            Ok(Self::Lines { since: Instant::now() })
        }
    }

    /// A step begins.
    pub(crate) fn begin(&mut self, step: Step, fleet: &Fleet) -> Result<(), Failure> {
        match self {
            Self::Silent => Ok(()),
            Self::Lines { since } => line(*since, &format!("— {step}")),
            Self::Live(screen) => {
                screen.begin(step);
                screen.draw(fleet).map_err(unwritable)
            }
        }
    }

    /// Something happened.
    pub(crate) fn tell(&mut self, text: &str) -> Result<(), Failure> {
        match self {
            Self::Silent => Ok(()),
            Self::Lines { since } => line(*since, text),
            Self::Live(screen) => {
                screen.tell(text);
                Ok(())
            }
        }
    }

    /// A step is done.
    pub(crate) fn done(&mut self, step: Step, text: &str) -> Result<(), Failure> {
        match self {
            Self::Silent => Ok(()),
            Self::Lines { since } => line(*since, &format!("✓ {text}")),
            Self::Live(screen) => {
                screen.done(step, text);
                Ok(())
            }
        }
    }

    /// The nodes may have changed; a screen is redrawn if it is time to.
    pub(crate) fn draw(&mut self, fleet: &Fleet) -> Result<(), Failure> {
        match self {
            Self::Live(screen) => screen.draw_if_due(fleet).map_err(unwritable),
            Self::Silent | Self::Lines { .. } => Ok(()),
        }
    }
}

fn line(since: Instant, text: &str) -> Result<(), Failure> {
    output::line(&format!("{:>8.3} s  {text}", since.elapsed().as_secs_f64()))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn unwritable(error: io::Error) -> Failure {
    Failure::failed(format!("cannot draw on the terminal: {error}"))
}
