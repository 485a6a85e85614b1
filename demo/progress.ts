import { styleText } from 'node:util';

export interface StepResult {
  readonly name: string;
  readonly ok: boolean;
  readonly seconds: number;
  readonly detail: string;
}

/** Shows steps as they run: one changing line on a terminal, plain lines elsewhere. Remembers them for the summary. */
export class Progress {
  readonly results: StepResult[] = [];
  private readonly terminal = process.stdout.isTTY === true;

  heading(text: string): void {
    console.log(`\n${style('bold', text)}`);
  }

  /** Text that belongs to the step above: what a command printed, a document. */
  quote(text: string): void {
    // A step that runs has its changing line here.
    if (this.terminal) process.stdout.write('\r\x1b[2K');
    for (const line of text.trimEnd().split('\n')) console.log(style('dim', `     ${line}`));
  }

  /** Runs one step; its result becomes the line's detail. A failed step is shown and thrown on. */
  async step(name: string, work: () => Promise<string>): Promise<void> {
    const started = performance.now();
    const timer = this.terminal ? this.spin(name, started) : undefined;
    let ok = true;
    let detail: string;
    try {
      detail = await work();
    } catch (error) {
      ok = false;
      detail = error instanceof Error ? error.message : String(error);
    }
    clearInterval(timer);
    const seconds = (performance.now() - started) / 1000;
    this.results.push({ name, ok, seconds, detail });
    const mark = ok ? style('green', '✔') : style('red', '✗');
    const clear = this.terminal ? '\r\x1b[2K' : '';
    console.log(`${clear} ${mark} ${name} ${style('dim', `${seconds.toFixed(1)} s`)}`);
    console.log(`     ${ok ? style('cyan', detail) : style('red', detail)}`);
    if (!ok) throw new StepFailed(name, detail);
  }

  summary(): void {
    const width = Math.max(...this.results.map((result) => result.name.length));
    this.heading('Summary');
    for (const result of this.results) {
      const mark = result.ok ? style('green', '✔') : style('red', '✗');
      console.log(` ${mark} ${result.name.padEnd(width)}  ${result.detail.split('\n')[0]}`);
    }
  }

  private spin(name: string, started: number): NodeJS.Timeout {
    const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
    let frame = 0;
    const draw = () => {
      const seconds = ((performance.now() - started) / 1000).toFixed(0);
      process.stdout.write(`\r\x1b[2K ${frames[frame++ % frames.length]} ${name} ${seconds} s`);
    };
    draw();
    return setInterval(draw, 100);
  }
}

export class StepFailed extends Error {
  constructor(step: string, reason: string) {
    super(`${step}: ${reason}`);
    this.name = 'StepFailed';
  }
}

type Style = Parameters<typeof styleText>[0];
const colour = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
const style = (format: Style, text: string): string => (colour ? styleText(format, text) : text);
