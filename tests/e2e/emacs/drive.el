;;; drive.el --- Drives Emacs as a user does, for test_emacs.py  -*- lexical-binding: t -*-

;; Keys go through the real command loop: a story waits in a recursive edit, in which Emacs reads keys, idles and runs
;; timers as ever (eglot tells the server of changes only while Emacs is idle).  Emacs ends with 0 when the story came to its end, else with 1 and the reason in $DRIVE_REPORT.

(setq debug-on-error nil
      make-backup-files nil auto-save-default nil create-lockfiles nil
      inhibit-startup-screen t ring-bell-function #'ignore)
(package-initialize)
(require 'cl-lib)
(require 'json)
(require 'python)

(defvar drive-given (json-parse-string (getenv "DRIVE_GIVEN") :object-type 'plist))
(defun drive-given (key) (plist-get drive-given key))

(defun drive-messages ()
  (with-current-buffer (messages-buffer) (buffer-substring-no-properties (point-min) (point-max))))

(global-set-key [drive-done] #'exit-recursive-edit)

(defun drive-wait (what condition)
  "Let Emacs run until CONDITION holds; WHAT names it where it never does.
The end comes as a key, so that no command and no filter is left halfway."
  (let* ((end (+ (float-time) 60))
         (timer (run-with-timer
                 0 0.02
                 (lambda ()
                   (cond ((> (float-time) end)
                          (drive-tell (concat "Timeout: " what))
                          (kill-emacs 1))
                         ((and (null unread-command-events) (null this-command) (not (active-minibuffer-window))
                               (funcall condition))
                          (setq unread-command-events (list 'drive-done))))))))
    (unwind-protect (recursive-edit) (cancel-timer timer))))

(defun drive-said (part)
  "Wait for a message that holds PART."
  (drive-wait (concat "the message " part) (lambda () (string-search part (drive-messages)))))

(defun drive-type (keys)
  "Type KEYS, in the words of `kbd', and wait until Emacs has read them."
  (setq unread-command-events (append unread-command-events (listify-key-sequence (kbd keys))))
  (drive-wait (concat "reading " keys) (lambda () (null unread-command-events))))

(defun drive-ask (keys question answer)
  "Type KEYS, wait until the minibuffer asks QUESTION, and type ANSWER."
  (let* (asked
         (timer (run-with-timer
                 0 0.02
                 (lambda ()
                   (let ((window (active-minibuffer-window)))
                     (when (and window (not asked) (null unread-command-events)
                                (with-current-buffer (window-buffer window)
                                  (string-search question (or (minibuffer-prompt) ""))))
                       (setq asked t
                             unread-command-events (listify-key-sequence (kbd answer)))))))))
    (setq unread-command-events (listify-key-sequence (kbd keys)))
    (unwind-protect (drive-wait (concat "the question " question) (lambda () asked))
      (cancel-timer timer))))

(defun drive-text () (with-current-buffer "calc.py" (buffer-substring-no-properties (point-min) (point-max))))

(defun drive-is (found wanted)
  (unless (equal found wanted) (error "Found %S, not %S" found wanted)))

(defun drive-tell (problem)
  (with-temp-file (getenv "DRIVE_REPORT")
    (insert (format "%s\n\n*Messages*\n%s" problem (drive-messages)))
    (dolist (buffer (buffer-list))
      (when (string-match-p "EGLOT.*\\(stderr\\|events\\)" (buffer-name buffer))
        (insert (format "\n%s\n" (buffer-name buffer)))
        (insert-buffer-substring buffer (max 1 (- (buffer-size buffer) 20000)) (1+ (buffer-size buffer)))))))

(defun drive-story ()
  (condition-case problem
      (progn
        (load (drive-given :config) nil t)
        (setq-default eglot-workspace-configuration (list :patchwright (drive-given :settings)))
        (find-file (drive-given :file))
        (drive-type "M-x eglot RET")
        (drive-said "Connected! Server `patchwright'")
        (load (drive-given :story) nil t)
        (eglot-shutdown (eglot-current-server))
        (kill-emacs 0))
    (error (drive-tell (error-message-string problem))
           (set-buffer-modified-p nil)
           (kill-emacs 1))))

(add-hook 'emacs-startup-hook (lambda () (run-with-timer 0 nil #'drive-story)))
;;; drive.el ends here
