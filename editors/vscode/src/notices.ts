/** What pops up: the progress of a fix with its cancel button, and the server's messages with a button for what comes next. */
import * as vscode from 'vscode';
import { MessageType, ShowMessageNotification, type LanguageClient } from 'vscode-languageclient/node';
import type { Jobs } from './jobs';
import type { Server } from './server';
import { ended, type Job } from './protocol';
import { percentage, progressWords } from './words';

/** Show a cancellable notification for every fix, from its first sign of life, or from where it goes on, to its end. */
export function showProgress(jobs: Jobs, server: Server): void {
  jobs.listeners.push((job, before) => {
    if (job.kind === 'fix' && (!before || ended(before)) && !ended(job)) {
      void follow(job, jobs, server);
    }
  });
}

async function follow(begun: Job, jobs: Jobs, server: Server): Promise<void> {
  const title = `Patchwright: ${begun.title}`;
  const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
  await vscode.window.withProgress(options, (progress, token) => {
    token.onCancellationRequested(() => {
      server.command('cancel', { job: begun.job }).catch((error: unknown) => server.log.appendLine(String(error)));
    });
    return new Promise<void>((resolve) => {
      let shown = 0;
      const show = (job: Job): void => {
        const now = Math.max(shown, percentage(job));
        progress.report({ message: progressWords(job), increment: now - shown });
        shown = now;
      };
      const listen = (job: Job): void => {
        if (job.job !== begun.job) {
          return;
        }
        if (ended(job)) {
          jobs.listeners.splice(jobs.listeners.indexOf(listen), 1);
          resolve();
        } else {
          show(job);
        }
      };
      show(begun);
      jobs.listeners.push(listen);
    });
  });
}

/** Give the server's messages (`window/showMessage`) buttons. */
export function showMessages(client: LanguageClient, jobs: Jobs): void {
  client.onNotification(ShowMessageNotification.type, ({ type, message }) => {
    if (type === MessageType.Error) {
      void offer(vscode.window.showErrorMessage, message, errorButtons(message));
    } else if (type === MessageType.Warning) {
      void offer(vscode.window.showWarningMessage, message, []);
    } else {
      const found = jobs.fixing()[0]?.fixes.length ? [{ title: 'Show Fixes', command: 'patchwright.showFixes' }] : [];
      void offer(vscode.window.showInformationMessage, message, found);
    }
  });
}

type Button = vscode.MessageItem & { command: string };

function errorButtons(message: string): Button[] {
  const log = { title: 'Show Log', command: 'patchwright.showLog' };
  const pull = { title: 'Pull a Model', command: 'patchwright.pullModel' };
  return message.includes('patchwright models pull') ? [pull, log] : [log];
}

async function offer(
  show: (message: string, ...items: Button[]) => Thenable<Button | undefined>,
  message: string,
  buttons: Button[],
): Promise<void> {
  const chosen = await show(message, ...buttons);
  if (chosen) {
    await vscode.commands.executeCommand(chosen.command);
  }
}
