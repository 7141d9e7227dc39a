//! Keys in the node's task: changes, and that none travels while packets may be plain.

use gossip_core::{KeyRingError, MemberState, MessageType, Plaintext};
use tracing::info;

use crate::Runtime;
use crate::keys::change::{KeyCommand, KeyState, warn_of_plaintext};
use crate::keys::plainly;
use crate::pump::Pump;

impl<R: Runtime> Pump<R> {
    /// Changes or shows keys.
    pub(super) fn command_keys(&mut self, command: KeyCommand) -> Result<KeyState, KeyRingError> {
        match command {
            KeyCommand::Look => {}
            KeyCommand::Add(key) => drop(self.node.add_key(key)?),
            KeyCommand::Use(id) => self.node.use_key(id)?,
            KeyCommand::Remove(id) => self.node.remove_key(id)?,
            KeyCommand::Plaintext(mode) => self.set_plaintext(mode)?,
        }
        let ring = self.node.config().keys.clone().ok_or(KeyRingError::NotSealed)?;
        let speaking = ring.ids().map(|id| self.node.members_speaking(id)).collect();
        let live = self.node.members().filter(|member| member.state.is_live()).map(|member| member.id).collect();
        let dead = self.node.members().filter(|member| member.state == MemberState::Dead);
        let last_words = dead.map(|member| (member.id, self.node.speaks(member.id))).collect();
        Ok(KeyState { ring, plaintext: self.node.config().plaintext, speaking, live, last_words })
    }

    fn set_plaintext(&mut self, mode: Plaintext) -> Result<(), KeyRingError> {
        let before = self.node.config().plaintext;
        // What came under the old mode is judged by the old mode.
        self.hand_out();
        self.node.set_plaintext(mode)?;
        if mode == before {
            return Ok(());
        }
        info!("this node {} from now on", plainly(mode));
        warn_of_plaintext(mode);
        if mode != Plaintext::Refuse {
            self.cancel_all_of(MessageType::KEYS);
        }
        Ok(())
    }

    /// Whether everything that this node sends and takes is sealed.
    pub(super) fn is_guarded(&self) -> bool {
        let config = self.node.config();
        config.keys.is_some() && config.plaintext == Plaintext::Refuse
    }
}
