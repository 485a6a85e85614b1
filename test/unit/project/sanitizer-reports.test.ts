import { expect, it } from 'vitest';

const url = new URL('../../../scripts/sanitizer-reports.mjs', import.meta.url).href;
const { faultsOf } = (await import(/* @vite-ignore */ url)) as { faultsOf: (text: string) => string[] };

const OWN = '    #1 /omni/native/build/Release/omni_native.node+0x4af01';
const LIBRARY = '    #1 /lib/x86_64-linux-gnu/libbpf.so.1+0x1234';
const NODE = '    #2 /usr/bin/node+0xc45d94';
const ALLOCATION = '    #0 /usr/lib/libclang_rt.asan-x86_64.so+0x10b4c8';

const leaks = (...records: string[][]) =>
  [
    '\n=================================================================',
    '==7==ERROR: LeakSanitizer: detected memory leaks',
    ...records.map((frames) => `\nDirect leak of 8 byte(s) in 1 object(s) allocated from:\n${frames.join('\n')}`),
    '\nSUMMARY: AddressSanitizer: 8 byte(s) leaked in 1 allocation(s).\n',
  ].join('\n');

it.each([
  ['nothing', '', 0],
  ['a memory error of the addon', `==7==ERROR: AddressSanitizer: heap-use-after-free\n${OWN}\n`, 1],
  ['a memory error elsewhere', `==7==ERROR: AddressSanitizer: heap-use-after-free\n${NODE}\n`, 1],
  ['undefined behaviour', '../src/inet.cpp:3:1: runtime error: signed integer overflow\n', 1],
  ['leaks of the addon and of a library that it called', leaks([ALLOCATION, OWN, NODE], [ALLOCATION, LIBRARY, OWN]), 2],
  ['leaks of node, also on behalf of the addon', leaks([ALLOCATION, NODE], [ALLOCATION, NODE, OWN, NODE]), 0],
  ['leaks of a library that node called', leaks([ALLOCATION, LIBRARY, NODE], [ALLOCATION, LIBRARY]), 0],
  ['a leak of the addon among others', leaks([ALLOCATION, NODE], [ALLOCATION, OWN, NODE]), 1],
])('%s', (_what, text, count) => {
  expect(faultsOf(text)).toHaveLength(count);
});
