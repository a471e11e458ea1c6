/**
 * The report of a search in a tab: a page that the server writes beside the trace. It runs no script and asks nothing
 * of the network, which its own policy says too; the tab allows neither.
 */
import * as vscode from 'vscode';
import type { Job } from './protocol';
import type { Server } from './server';

const KIND = 'patchwright.report';
const TITLE_CHARS = 40;

export class Reports implements vscode.Disposable {
  /** Open tabs by job. */
  private readonly panels = new Map<string, vscode.WebviewPanel>();

  constructor(
    private readonly server: Server,
    private readonly icon: vscode.Uri,
  ) {}

  /** Show a job's report as it is now; a tab that is open is brought up to date. */
  async show(job: Job): Promise<void> {
    const written = await this.server.command<{ page: string }>('showTrace', { job: job.job, open: false });
    const page = await vscode.workspace.fs.readFile(vscode.Uri.file(written.page));
    const panel = this.panels.get(job.job) ?? this.create(job);
    // A jump only scrolls here, and cannot go to what lies in a part that is closed.
    panel.webview.html = new TextDecoder().decode(page).replace(/ href="#c(\d+)"/g, ' href="#r$1"');
    panel.reveal();
  }

  dispose(): void {
    for (const panel of this.panels.values()) {
      panel.dispose();
    }
  }

  private create(job: Job): vscode.WebviewPanel {
    const title = job.title.length > TITLE_CHARS ? `${job.title.slice(0, TITLE_CHARS)}…` : job.title;
    const options = { enableScripts: false, enableFindWidget: true, localResourceRoots: [] };
    const panel = vscode.window.createWebviewPanel(KIND, `Report: ${title}`, vscode.ViewColumn.Active, options);
    panel.iconPath = this.icon;
    panel.onDidDispose(() => this.panels.delete(job.job));
    this.panels.set(job.job, panel);
    return panel;
  }
}
