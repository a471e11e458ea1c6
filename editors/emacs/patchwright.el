;;; patchwright.el --- Fix issues with Patchwright through eglot  -*- lexical-binding: t -*-

;; SPDX-License-Identifier: Apache-2.0
;; Package-Requires: ((emacs "28.1") (eglot "1.9"))

;;; Commentary:

;; The commands that eglot has no key for: an issue in your own words, the list of fixes with their diffs, cancel,
;; deepen, report.  Code actions need none of this.  No request here holds Emacs up: eglot tells the server of changes
;; only while Emacs is idle, and the server waits for them after an edit.

;;; Code:

(require 'eglot)
(require 'flymake)
(require 'seq)

;; Eglot takes a repository's .dir-locals.el for safe.  It could choose the model there, and so where your code goes.
(put 'eglot-workspace-configuration 'safe-local-variable nil)

(defun patchwright--server ()
  (or (eglot-current-server) (user-error "Patchwright does not run here.  Cure: M-x eglot")))

(defun patchwright--run (command argument then)
  "Have the server run COMMAND with ARGUMENT, a plist; THEN is called with the answer."
  (jsonrpc-async-request
   (patchwright--server) :workspace/executeCommand
   (list :command (concat "patchwright." command) :arguments (vector argument))
   :deferred (intern command) :timeout 600 :success-fn then
   :error-fn (lambda (problem) (message "Patchwright: %s" (plist-get problem :message)))))

(defun patchwright--jobs ()
  "The fix jobs, the latest first."  ; the request takes no parameters, but an empty plist would be sent as null
  (let ((jobs (plist-get (jsonrpc-request (patchwright--server) :patchwright/jobs '(:kind "fix")) :jobs)))
    (seq-filter (lambda (job) (equal (plist-get job :kind) "fix")) (reverse jobs))))

(defun patchwright--last ()
  (or (plist-get (car (patchwright--jobs)) :job) (user-error "No issue was given yet.  Cure: M-x patchwright-fix")))

(defun patchwright--pick ()
  "Ask for a fix by its proof; returns its id."
  (let* ((fixes (seq-mapcat (lambda (job) (append (plist-get job :fixes) nil)) (patchwright--jobs)))
         (names (mapcar (lambda (fix)
                          (cons (format "%s: %s (%s)%s" (if (eq (plist-get fix :verified) t) "verified" "not verified")
                                        (plist-get fix :proof) (plist-get fix :title)
                                        (if (plist-get fix :withdrawn) ", withdrawn" ""))
                                (plist-get fix :id)))
                        fixes)))
    (unless names (user-error "No fix was found yet"))
    (cdr (assoc (completing-read "Fix: " names nil t nil nil (caar names)) names))))

;;;###autoload
(defun patchwright-fix (text)
  "Fix the issue that TEXT tells of; what Flymake says at point is offered as its beginning."
  (interactive
   (list (read-string "Issue: " (let ((problem (car (flymake-diagnostics (point)))))
                                  (and problem (format "%s:%d: %s" (file-name-nondirectory (buffer-file-name))
                                                       (line-number-at-pos) (flymake-diagnostic-text problem)))))))
  (patchwright--run "fix" (list :text text) #'ignore))

;;;###autoload
(defun patchwright-show ()
  "Show the diff and the proof of a fix."
  (interactive)
  (patchwright--run
   "showFix" (list :fix (patchwright--pick) :open :json-false)
   (lambda (fix)
     (with-current-buffer (get-buffer-create "*patchwright fix*")
       (let ((inhibit-read-only t))
         (erase-buffer)
         (insert "# " (plist-get fix :words) "\n")
         (seq-doseq (run (plist-get fix :runs))
           (insert (format "# %s: %s -> %s\n" (plist-get run :kind) (plist-get run :before) (plist-get run :after))))
         (insert "\n" (plist-get fix :diff)))
       (diff-mode)
       (read-only-mode)
       (display-buffer (current-buffer))))))

;;;###autoload
(defun patchwright-apply ()
  "Apply a fix.  The buffers are changed, not saved."
  (interactive)
  (patchwright--run
   "applyFix" (list :fix (patchwright--pick))
   (lambda (answer) (message "Patchwright: %s" (or (plist-get answer :reason) "applied")))))

;;;###autoload
(defun patchwright-cancel ()
  "Cancel whatever runs."
  (interactive)
  (patchwright--run "cancel" nil #'ignore))

;;;###autoload
(defun patchwright-deeper ()
  "Go on with the last issue and the next budget."
  (interactive)
  (patchwright--run "fixDeeper" (list :job (patchwright--last)) #'ignore))

;;;###autoload
(defun patchwright-report ()
  "Open the report of the last search in the browser."
  (interactive)
  (patchwright--run "showTrace" (list :job (patchwright--last) :open :json-false)
                    (lambda (answer) (browse-url-of-file (plist-get answer :page)))))

(provide 'patchwright)
;;; patchwright.el ends here
