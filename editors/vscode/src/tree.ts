/** The side bar's "Fixes": jobs, the fixes each found, and the proof of each fix from the server's own run records. */
import * as vscode from 'vscode';
import type { Jobs } from './jobs';
import type { Server } from './server';
import { ended, interrupted, type Fix, type FixReport, type Job } from './protocol';
import { fixIcon, fixState, fixWords, jobIcon, progressWords } from './words';

/** A line below a fix. */
interface Detail {
  label: string;
  description?: string;
  icon: string;
  uri?: string;
}

export type Node = { job: Job } | { job: Job; fix: Fix } | { detail: Detail };

export class FixTree implements vscode.TreeDataProvider<Node> {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChangeTreeData = this.changed.event;

  constructor(
    private readonly jobs: Jobs,
    private readonly server: Server,
  ) {
    jobs.listeners.push((job) => job.kind === 'fix' && this.changed.fire());
  }

  refresh(): void {
    this.changed.fire();
  }

  async getChildren(node?: Node): Promise<Node[]> {
    if (!node) {
      return this.jobs.fixing().map((job) => ({ job }));
    }
    if ('detail' in node) {
      return [];
    }
    if ('fix' in node) {
      const report = await this.server.command<FixReport>('showFix', { fix: node.fix.id, open: false });
      return details(report).map((detail) => ({ detail }));
    }
    const fixes: Node[] = node.job.fixes.map((fix) => ({ job: node.job, fix }));
    return [...fixes, ...node.job.notes.map((note) => ({ detail: { label: note, icon: 'info' } }))];
  }

  getTreeItem(node: Node): vscode.TreeItem {
    if ('detail' in node) {
      return detailItem(node.detail);
    }
    return 'fix' in node ? fixItem(node.fix) : jobItem(node.job);
  }
}

function jobItem(job: Job): vscode.TreeItem {
  const item = new vscode.TreeItem(job.title, vscode.TreeItemCollapsibleState.Expanded);
  item.id = job.job;
  item.iconPath = new vscode.ThemeIcon(jobIcon(job));
  item.description = progressWords(job);
  item.tooltip = [job.title, progressWords(job), job.cure].filter(Boolean).join('\n');
  item.accessibilityInformation = { label: `${job.title}, ${job.state}, ${progressWords(job)}` };
  item.contextValue = interrupted(job) ? 'interruptedJob' : ended(job) ? 'endedJob' : 'runningJob';
  return item;
}

function fixItem(fix: Fix): vscode.TreeItem {
  const item = new vscode.TreeItem(fixWords(fix), vscode.TreeItemCollapsibleState.Collapsed);
  item.id = fix.id;
  item.iconPath = new vscode.ThemeIcon(fixIcon(fix));
  item.description = fixState(fix);
  item.tooltip = [fix.words, fix.proof, fixState(fix)].join('\n');
  item.accessibilityInformation = { label: `${fixWords(fix)}. ${fixState(fix)}` };
  item.contextValue = fix.applied ? 'appliedFix' : fix.withdrawn ? 'withdrawnFix' : 'fix';
  if (!fix.applied && !fix.withdrawn) {
    item.command = { title: 'Look at the Fix', command: 'patchwright.previewFix', arguments: [{ fix }] };
  }
  return item;
}

function detailItem(detail: Detail): vscode.TreeItem {
  const item = new vscode.TreeItem(detail.label);
  item.iconPath = new vscode.ThemeIcon(detail.icon);
  item.tooltip = [detail.label, detail.description].filter(Boolean).join('\n');
  if (detail.description !== undefined) {
    item.description = detail.description;
  }
  if (detail.uri !== undefined) {
    item.command = { title: 'Open', command: 'vscode.open', arguments: [vscode.Uri.parse(detail.uri)] };
  }
  return item;
}

function details(report: FixReport): Detail[] {
  return [
    ...report.runs.map((run) => ({
      label: `${run.kind.replaceAll('_', ' ')}: ${run.before} → ${run.after}`,
      description: `${run.command} (${run.seconds.toFixed(1)} s)`,
      icon: run.exit === 0 ? 'testing-passed-icon' : 'testing-failed-icon',
    })),
    ...report.flags.map((flag) => ({ label: `Look closely: the patch ${flag}`, icon: 'warning' })),
    ...report.differences.map((line) => ({ label: `Differs: ${line}`, icon: 'git-compare' })),
    ...(report.test ? [{ label: `Regression test: ${report.test.path}`, icon: 'beaker' }] : []),
    ...report.uris.map((uri, index) => ({ label: report.files[index] ?? uri, icon: 'file', uri })),
  ];
}
