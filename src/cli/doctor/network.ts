import type { LinkInfo, Native } from '../../dataplane/kernel/native.ts';
import { type Finding, failure, ok, unknown, warning } from './finding.ts';
import type { Host } from './host.ts';

/** IPv6's least MTU (RFC 8200, section 5) and our overhead over IPv4. */
const LEAST_MTU = 1280 + 74;
/** A native XDP program needs the whole frame in one 4 KiB page, less headroom and skb_shared_info. */
const MOST_NATIVE_MTU = 3504;

/** NETDEV_XDP_ACT_BASIC and NETDEV_XDP_ACT_NDO_XMIT of linux/netdev.h. */
const RUNS_XDP = 1;
const REDIRECT_TARGET = 4;

/** Before 6.3 the kernel does not tell: drivers with native XDP in 5.15; others run the generic kind. */
const NATIVE_DRIVERS = new Set([
  'amazon_ena',
  'ena',
  'atlantic',
  'bnxt_en',
  'cpsw',
  'dpaa2-eth',
  'fsl_dpaa2_eth',
  'fsl_enetc',
  'funeth',
  'gve',
  'hv_netvsc',
  'i40e',
  'ice',
  'igb',
  'igc',
  'ixgbe',
  'ixgbevf',
  'mana',
  'mlx4_core',
  'mlx5_core',
  'mvneta',
  'mvpp2',
  'nfp',
  'octeontx2-nic',
  'qede',
  'sfc',
  'st_gmac',
  'stmmaceth',
  'stmmac',
  'thunder-nicvf',
  'tsnep',
  'virtio_net',
  'vmxnet3',
  'xen_netfront',
  'vif',
]);
const NATIVE_KINDS = new Set(['veth', 'tun', 'bond']);

export interface NetworkQuestion {
  /** `--underlay`; undefined: the interfaces with a default route. */
  readonly underlay: readonly string[] | undefined;
  readonly port: number;
  /** Process id of the running agent, which holds the port and the hook for us. */
  readonly agentPid: number | undefined;
}

export async function networkFindings(host: Host, question: NetworkQuestion): Promise<readonly Finding[]> {
  return [...(await underlayFindings(host, question)), await portFinding(host, question)];
}

async function underlayFindings(host: Host, question: NetworkQuestion): Promise<readonly Finding[]> {
  let native: Native;
  try {
    native = host.native();
  } catch {
    // Reported where the addon is checked.
    return [unknown('underlay', 'without the addon interfaces cannot be listed', 'Mend the addon first.')];
  }
  const links = native.links({});
  const names = question.underlay ?? defaultRouteInterfaces(native, links);
  if (names.length === 0) {
    return [
      warning(
        'underlay',
        'no interface has a default route: the agent listens where a peer’s endpoint is routed',
        'Nothing to do if the peers are in networks of this node; else name the interface, as in `--underlay eth0`.',
      ),
    ];
  }
  const findings = await Promise.all(
    names.map((name) => {
      const link = links.find((one) => one.name === name);
      if (link !== undefined) return linkFindings(host, native, link, question.agentPid);
      return [failure('underlay', `there is no interface ${name}`, 'Name one that `ip link` shows.')];
    }),
  );
  return findings.flat();
}

function defaultRouteInterfaces(native: Native, links: readonly LinkInfo[]): string[] {
  const DEFAULTS = new Set(['default', '0.0.0.0/0', '::/0']);
  const indexes = new Set(
    native
      .routes({})
      .filter(({ destination, oif }) => DEFAULTS.has(destination) && oif !== 0)
      .map(({ oif }) => oif),
  );
  return links.filter(({ ifindex, loopback }) => indexes.has(ifindex) && !loopback).map(({ name }) => name);
}

async function linkFindings(
  host: Host,
  native: Native,
  link: LinkInfo,
  agentPid: number | undefined,
): Promise<readonly Finding[]> {
  const { name, mtu } = link;
  if (link.loopback)
    return [failure('underlay', `${name} is the loopback`, 'Name the interface towards the other nodes.')];
  const findings: Finding[] = [];
  if (!link.up) findings.push(failure('underlay', `${name} is down`, `Run \`ip link set ${name} up\`.`));
  if (mtu < LEAST_MTU) {
    const message = `${name} has an MTU of ${mtu}: too small to carry IPv6 inside, which needs ${LEAST_MTU}`;
    findings.push(warning('underlay-mtu', message, `Run \`ip link set ${name} mtu 1500\`.`));
  }
  findings.push(await xdpFinding(host, native, link, agentPid));
  if (link.up) findings.unshift(ok('underlay', `${name} is up, MTU ${mtu}`));
  return findings;
}

async function xdpFinding(host: Host, native: Native, link: LinkInfo, agentPid: number | undefined): Promise<Finding> {
  const { name, mtu, kind, xdpProgramId, xdpMode } = link;
  if (xdpProgramId !== 0 && agentPid === undefined) {
    return warning(
      'xdp',
      `${name} has an XDP program already (id ${xdpProgramId}, ${xdpMode}); if it is not ours, the agent cannot attach`,
      `See whose it is with \`bpftool prog show id ${xdpProgramId}\`; \`ip link set dev ${name} xdp off\` removes it.`,
    );
  }
  if (xdpProgramId !== 0) return ok('xdp', `${name} runs an XDP program (${xdpMode})`);
  if (mtu > MOST_NATIVE_MTU) {
    const fix = `For native speed set its MTU to ${MOST_NATIVE_MTU} or less.`;
    return warning('xdp', `${name}: an MTU of ${mtu} allows generic XDP only, which is slower`, fix);
  }
  const driver = await host.driverOf(name);
  const features = native.xdpFeatures({ ifindex: link.ifindex });
  // Other drivers may announce it once a program is attached.
  if (features !== undefined && kind === 'veth' && link.up && (features & REDIRECT_TARGET) === 0) {
    return warning(
      'xdp',
      `${name} (veth) takes no frames that native XDP redirects: by way of the stack is slower`,
      'Switch GRO on at its other end: `ethtool -K <interface> gro on`.',
    );
  }
  const adapter = `${name} (${(driver ?? kind) || 'no driver known'})`;
  const listed = NATIVE_KINDS.has(kind) || (driver !== undefined && NATIVE_DRIVERS.has(driver));
  if (features === undefined ? listed : (features & RUNS_XDP) !== 0) return ok('xdp', `${adapter} can run native XDP`);
  const verdict = features === undefined ? 'is not known to run' : 'does not run';
  return warning(
    'xdp',
    `${adapter} ${verdict} native XDP: the generic kind is slower`,
    'Nothing to do if that is fast enough; otherwise use an adapter with native XDP.',
  );
}

async function portFinding(host: Host, { port, agentPid }: NetworkQuestion): Promise<Finding> {
  const errno = await host.bindUdp(port);
  if (errno === undefined) return ok('port', `UDP port ${port} is free`);
  if (errno !== 'EADDRINUSE')
    return unknown('port', `UDP port ${port} could not be tried: ${errno}`, 'Run `sudo omni doctor`.');
  if (agentPid !== undefined) return ok('port', `UDP port ${port} is held by the running agent (pid ${agentPid})`);
  return failure(
    'port',
    `UDP port ${port} is in use by another program`,
    `Find it with \`ss -lunp sport = :${port}\`, or give the cluster another port (spec.port).`,
  );
}
