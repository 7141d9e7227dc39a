//! A whole node on std alone. With a cluster running (`gossip agent --bind 127.0.0.1:7979`):
//! `cargo run -p gossip-core --example std_loop -- 127.0.0.1:7979`
use gossip_core::{Channel, Config, Epoch, Identity, Instant, Node, NodeId};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::{collections::BTreeMap, env, error::Error, io::Read, io::Write, process, time};

fn main() -> Result<(), Box<dyn Error>> {
    let seed: SocketAddr = env::args().nth(1).ok_or("usage: std_loop SEED_ADDRESS")?.parse()?;
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    udp.set_read_timeout(Some(time::Duration::from_millis(10)))?;
    let listener = TcpListener::bind(udp.local_addr()?)?;
    listener.set_nonblocking(true)?;
    let now = || Instant::from_duration(time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default());
    let (millis, random) = (now().as_micros() / 1_000, process::id());
    let identity = Identity::new(NodeId::v7(millis, random.into()), udp.local_addr()?, Epoch::new(millis, random));
    let mut node = Node::new(identity, Config::lan("default"), [7; 32], now())?;
    node.set_seeds(now(), vec![seed]);
    let mut links = BTreeMap::<SocketAddr, (TcpStream, Vec<u8>)>::new();
    let (mut buffer, mut packet) = (bytes::BytesMut::new(), vec![0; 65_536]);
    loop {
        if let Ok((size, from)) = udp.recv_from(&mut packet) {
            node.handle_datagram(now(), from, &mut packet[..size]);
        }
        while let Ok((stream, peer)) = listener.accept() {
            links.insert(peer, (stream, Vec::new()));
        }
        for (&peer, (stream, received)) in &mut links {
            stream.set_read_timeout(Some(time::Duration::from_millis(1)))?;
            while let Ok(size @ 1..) = stream.read(&mut packet) {
                received.extend_from_slice(&packet[..size]);
            }
            // Each packet follows its length.
            while let Some((length, rest)) = received.split_first_chunk() {
                let Some(message) = rest.get(..u32::from_be_bytes(*length) as usize) else { break };
                node.handle_message(now(), peer, &mut message.to_vec());
                received.drain(..4 + u32::from_be_bytes(*length) as usize);
            }
        }
        node.handle_timeout(now());
        while let Some(transmit) = node.poll_transmit(now(), &mut buffer) {
            let packet = buffer.split();
            for to in transmit.to {
                if transmit.channel == Channel::Datagram {
                    udp.send_to(&packet, to)?;
                    continue;
                }
                let dial = || TcpStream::connect(to).map(|stream| (stream, Vec::new()));
                let frame = [&u32::try_from(packet.len())?.to_be_bytes(), &packet[..]].concat();
                match links.remove(&to).map_or_else(dial, Ok) {
                    Ok(link) if (&link.0).write_all(&frame).is_ok() => drop(links.insert(to, link)),
                    _ => node.handle_unreachable(now(), &to),
                }
            }
        }
        while let Some(event) = node.poll_event() {
            println!("{event:?}");
        }
    }
}
