//! A member that is no adapter: the protocol alone, driven by hand, so that a test says what is in its packets.

use std::net::{SocketAddr, UdpSocket};

use bytes::{Bytes, BytesMut};
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use gossip_driver::protocol::{Channel, Config, Epoch, Event, Identity, Instant, Node};
use gossip_driver::{Cluster, MessageType, NodeId, Reliability, Runtime};

use crate::harness::within;

pub(crate) struct Stranger {
    node: Node<SocketAddr>,
    socket: UdpSocket,
}

impl Stranger {
    /// A stranger that `target` has let in.
    pub(crate) async fn join<R: Runtime>(target: &Cluster<R>, cluster: &str) -> Self {
        Self::join_at(target, cluster, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// The same at an address.
    pub(crate) async fn join_at<R: Runtime>(target: &Cluster<R>, cluster: &str, address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).expect("a port is free");
        let address = socket.local_addr().expect("it is bound");
        let identity = Identity::new(NodeId::from_u128(7), address, Epoch::new(1, 0));
        let node = Node::new(identity, Config::local(cluster), [7; 32], Instant::ZERO).expect("the settings are fine");
        let mut stranger = Self { node, socket };
        stranger.node.join(Instant::ZERO, target.bind_address().expect("it is bound")).expect("it is another address");
        within("the stranger is let in", stranger.converse::<R>(target.bind_address().expect("it is bound"))).await;
        stranger
    }

    pub(crate) fn id(&self) -> NodeId {
        self.node.id()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("it is bound")
    }

    /// Sends a payload of these bytes, whatever they are.
    pub(crate) fn send<R: Runtime>(&mut self, to: &Cluster<R>, kind: MessageType, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        let sent = self.node.send(Instant::ZERO, to.id(), kind, payload, Reliability::BestEffort);
        sent.expect("the target is a member");
        let mut packet = BytesMut::new();
        while let Some(transmit) = self.node.poll_transmit(Instant::ZERO, &mut packet) {
            if transmit.channel == Channel::Datagram {
                self.socket.send_to(&packet, transmit.to[0]).expect("loopback takes datagrams");
            }
            packet.clear();
        }
    }

    /// Exchanges packets over one connection until it is let in.
    async fn converse<R: Runtime>(&mut self, target: SocketAddr) {
        let runtime = R::current().expect("the test runs in the runtime");
        let mut stream = runtime.connect(target).await.expect("the node listens");
        loop {
            let mut packet = BytesMut::new();
            while let Some(transmit) = self.node.poll_transmit(Instant::ZERO, &mut packet) {
                if transmit.channel == Channel::Stream {
                    let length = u32::try_from(packet.len()).expect("it is short");
                    stream.write_all(&length.to_be_bytes()).await.expect("the node reads");
                    stream.write_all(&packet).await.expect("the node reads");
                }
                packet.clear();
            }
            while let Some(event) = self.node.poll_event() {
                if matches!(event, Event::JoinAccepted { .. }) {
                    return;
                }
            }
            let mut length = [0; 4];
            stream.read_exact(&mut length).await.expect("the node answers");
            let mut packet = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut packet).await.expect("the node answers");
            self.node.handle_message(Instant::ZERO, target, &mut packet);
        }
    }
}
